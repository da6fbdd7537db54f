//! How HTTP requests become messages, where `google/api/http.proto` leaves a choice or other gateways decide differently.

/// Choices about routes, paths, queries and bodies. The default is what `google/api/http.proto` says, and strict beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Rules of a service configuration (`google.api.Http.rules`). They replace what the method itself is annotated with; of
    /// several rules for one method the last one counts. A rule for a method that is not in the schema is a problem.
    pub rules: Vec<HttpRule>,
    /// Which services answer `POST /package.Service/Method` for methods that no rule binds.
    pub default_bindings: DefaultBindings,
    /// Whether methods that rules do bind keep that default binding beside them.
    pub default_bindings_beside_rules: bool,
    /// What a variable of several segments decodes. One segment is always decoded whole.
    pub path_decoding: PathDecoding,
    /// What becomes of a path that would match without the slash at its end.
    pub trailing_slash: TrailingSlash,
    /// Whether a colon in the last segment always starts a verb, so that a verb which no rule has matches nothing.
    pub strict_verbs: bool,
    /// Whether `+` in a query is a space, as HTML forms write it.
    pub plus_is_space: bool,
    /// What becomes of query parameters that no field takes.
    pub unknown_query: UnknownQuery,
    /// Further parameters that never bind to a field, beside the system parameters, such as `utm_source`.
    pub ignored_query: Vec<String>,
    /// What becomes of a query parameter that repeats a field which is not repeated.
    pub duplicate_query: DuplicateQuery,
    /// Whether query parameters bind although the body is the whole message; a field that the body sends keeps its value.
    pub query_beside_body: bool,
    /// Whether `labels[key]=value` sets an entry of a map.
    pub query_maps: bool,
    /// Whether booleans in paths and queries may be `1`, `t`, `T`, `True`, `TRUE` and their opposites.
    pub lenient_bools: bool,
    /// Whether enum values in paths and queries are found in any case.
    pub enums_ignore_case: bool,
    /// Who wins where the path binds a field and the body or the query says otherwise.
    pub binding_conflict: BindingConflict,
    /// What becomes of a body that the method doesn't take.
    pub unexpected_body: UnexpectedBody,
}

/// One rule of a service configuration: `google.api.HttpRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRule {
    /// Full name of the method, `package.Service.Method`; empty in additional bindings.
    pub selector: String,
    /// `GET`, `POST`, …, any other token, or `*` for every method. Case matters.
    pub http_method: String,
    /// The path template.
    pub path: String,
    /// Name of the top-level request field that is the body, `*` for all that the path doesn't bind, empty for none.
    pub body: String,
    /// Name of the top-level response field that is the response body; empty for the whole message.
    pub response_body: String,
    /// More bindings of the method; they have none of their own.
    pub additional_bindings: Vec<HttpRule>,
}

/// Which services get default bindings.
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

/// What a path variable of several segments decodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathDecoding {
    /// Every escape but `%2F` (the text about path templates in `google/api/http.proto`).
    #[default]
    ExceptSlash,
    /// Every escape but those of the reserved characters of RFC 6570, ``!#$&'()*+,/:;=?@[]`` (the text about `google.api.Http`).
    ExceptReserved,
    /// Every escape.
    All,
}

/// What becomes of a path that would match without the slash at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrailingSlash {
    /// It matches nothing.
    #[default]
    Strict,
    /// It is answered by a redirect: [`RouteError::Redirect`](crate::RouteError::Redirect).
    Redirect,
    /// It matches.
    Ignore,
}

/// What becomes of query parameters that no field takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownQuery {
    /// The request is refused.
    #[default]
    Refuse,
    /// They are dropped.
    Ignore,
    /// They are dropped from the message and kept for the caller: [`Match::unbound_query`](crate::Match::unbound_query).
    Capture,
}

/// What becomes of a parameter that comes twice, for a field that is not repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateQuery {
    /// The request is refused.
    #[default]
    Refuse,
    /// The last value counts.
    LastWins,
}

/// Who wins where the path binds a field and the body or the query says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BindingConflict {
    /// Nobody: the request is refused. A body may repeat the value of the path.
    #[default]
    Refuse,
    /// The path.
    PathWins,
    /// The body; over a query the path still wins.
    BodyWins,
}

/// What becomes of a body that the method doesn't take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnexpectedBody {
    /// The request is refused.
    #[default]
    Refuse,
    /// It is dropped unread.
    Ignore,
}

// === impl HttpOptions ===

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            rules: Vec::new(),
            default_bindings: DefaultBindings::default(),
            default_bindings_beside_rules: false,
            path_decoding: PathDecoding::default(),
            trailing_slash: TrailingSlash::default(),
            strict_verbs: false,
            plus_is_space: true,
            unknown_query: UnknownQuery::default(),
            ignored_query: Vec::new(),
            duplicate_query: DuplicateQuery::default(),
            query_beside_body: false,
            query_maps: false,
            lenient_bools: false,
            enums_ignore_case: false,
            binding_conflict: BindingConflict::default(),
            unexpected_body: UnexpectedBody::default(),
        }
    }
}
