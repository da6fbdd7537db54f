//! Choices about routes, where `google/api/http.proto` leaves one or other gateways decide
//! differently.

use prost::Message;

use crate::annotation::{HttpConfig, HttpRule};

/// Choices about routes and paths. The default is what `google/api/http.proto` says, and strict
/// beyond it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Rules of a service configuration (`google.api.Http.rules`). They replace what the method
    /// itself is annotated with; of several rules for one method the last one counts. A rule for a
    /// method that is not in the set is a problem.
    pub rules: Vec<HttpRule>,
    /// Services that answer `POST /package.Service/Method` for methods without a rule.
    pub default_bindings: DefaultBindings,
    /// Whether methods that rules do bind keep that default binding beside them.
    pub default_bindings_beside_rules: bool,
    /// Escapes that a variable of several segments decodes. One segment is always decoded whole.
    pub path_decoding: PathDecoding,
    /// Treatment of a path that would match without its trailing slash.
    pub trailing_slash: TrailingSlash,
    /// Whether a colon in the last segment always starts a verb, so that a verb which no rule has
    /// matches nothing.
    pub strict_verbs: bool,
    /// Treatment of a binding that is outside `google/api/http.proto`.
    pub invalid_bindings: InvalidBindings,
}

/// Treatment of a binding that is malformed, contradicts its messages, or has the path of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InvalidBindings {
    /// It is a problem of the set.
    #[default]
    Reject,
    /// It is left out and listed in [`Routes::left_out`](crate::Routes::left_out); all other
    /// bindings are served.
    LeaveOut,
}

/// Services with default bindings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DefaultBindings {
    /// No service: a method is reachable by the rules that name it, and by nothing else.
    #[default]
    None,
    /// Every service of the schema.
    All,
    /// The services with these full names. One that the schema lacks is a problem.
    Services(Vec<String>),
}

/// Escapes that a path variable of several segments decodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathDecoding {
    /// Every escape but `%2F` (the text about path templates in `google/api/http.proto`).
    #[default]
    ExceptSlash,
    /// Every escape but those of the reserved characters of RFC 6570, ``!#$&'()*+,/:;=?@[]`` (the
    /// text about `google.api.Http`).
    ExceptReserved,
    /// Every escape.
    All,
}

/// Treatment of a path that would match without its trailing slash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrailingSlash {
    /// It matches nothing.
    #[default]
    Strict,
    /// It is answered by a redirect: [`RouteError::Redirect`](crate::error::RouteError).
    Redirect,
    /// It matches.
    Ignore,
}

// === impl RouteOptions ===

impl RouteOptions {
    /// Adds an encoded `google.api.Http`: appends its rules, and where it sets
    /// `fully_decode_reserved_expansion`, variables of several segments decode everything but
    /// `%2F`.
    ///
    /// # Errors
    /// The bytes are no such message, or a rule nests deeper than rules can.
    pub fn add_service_config(&mut self, http: &[u8]) -> Result<(), prost::DecodeError> {
        let config = HttpConfig::decode(http)?;
        if config.fully_decode_reserved_expansion {
            self.path_decoding = PathDecoding::ExceptSlash;
        }
        self.rules.extend(config.into_rules());
        Ok(())
    }
}
