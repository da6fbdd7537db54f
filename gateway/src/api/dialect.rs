//! Keys that choose between what gateways do differently.

use http::StatusCode;
use serde::Deserialize;
use transcoder::Options;
use transcoder::stream::Framing;

/// The behaviour of the JSON API where the standards leave a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The standards', and strict beyond them.
    Strict,
    /// Those of Envoy's `grpc_json_transcoder`.
    Envoy,
    /// Those of grpc-gateway.
    GrpcGateway,
}

/// How responses show fields that have their default value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmitDefaults {
    /// As the dialect does.
    Dialect,
    /// Nothing.
    Never,
    /// Numbers, booleans, strings, bytes and enums.
    Scalars,
    /// These, and empty lists and maps.
    All,
    /// These, and `null` for unset messages.
    Nulls,
}

/// How JSON keys without a field are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownFields {
    /// As the dialect does.
    Dialect,
    /// The request is refused.
    Refuse,
    /// They are dropped.
    Ignore,
}

/// How a path with a superfluous trailing slash is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrailingSlash {
    /// As the dialect does.
    Dialect,
    /// It matches nothing: 404.
    Strict,
    /// 308 to the path without it.
    Redirect,
    /// It matches.
    Ignore,
}

// === impl Dialect ===

impl Dialect {
    pub(crate) fn options(self) -> Options {
        match self {
            Dialect::Strict => Options::default(),
            Dialect::Envoy => Options::envoy(),
            Dialect::GrpcGateway => Options::grpc_gateway(),
        }
    }

    /// Chooses the framing of a stream and its media type; `None` where the caller accepts none.
    /// Only the strict dialect refuses an `accept` header that it cannot meet.
    pub(crate) fn framing(
        self,
        accept: &str,
        alt: Option<&str>,
    ) -> Option<(Framing, &'static str)> {
        let preferred = match self {
            Dialect::Strict => Framing::Ndjson,
            Dialect::Envoy | Dialect::GrpcGateway => Framing::JsonArray,
        };
        let is_asked = alt.is_some_and(|alt| !alt.is_empty());
        let framing = match Framing::negotiate_or(preferred, Some(accept), alt) {
            Ok(framing) => framing,
            Err(_) if self == Dialect::Strict || is_asked => return None,
            Err(_) => preferred,
        };
        if self == Dialect::GrpcGateway && framing == Framing::JsonArray && !is_asked {
            // Lines of JSON, under the media type of JSON.
            return Some((Framing::Ndjson, Framing::JsonArray.content_type()));
        }
        Some((framing, framing.content_type()))
    }

    /// Whether an `accept` header that excludes the response is an error.
    pub(crate) fn minds_accept(self) -> bool {
        self == Dialect::Strict
    }

    /// Whether a body is JSON whatever its content type.
    pub(crate) fn takes_any_type(self) -> bool {
        self != Dialect::Strict
    }

    /// Whether a POST of a form stands for another method, which `x-http-method-override` names or
    /// the routes leave as the only one.
    pub(crate) fn overrides_method(self) -> bool {
        self == Dialect::GrpcGateway
    }

    /// Whether an unmet precondition of HTTP is 412.
    pub(crate) fn has_preconditions(self) -> bool {
        self == Dialect::Strict
    }

    /// Returns the HTTP status of an error in this dialect, given that of the strict one.
    pub(crate) fn http_status(self, strict: StatusCode) -> StatusCode {
        match (self, strict) {
            (Dialect::GrpcGateway, StatusCode::METHOD_NOT_ALLOWED) => StatusCode::NOT_IMPLEMENTED,
            _ => strict,
        }
    }

    /// Returns the name prefixes of response headers and trailers that carry metadata of the
    /// upstream.
    pub(crate) fn metadata_prefixes(self) -> (&'static str, &'static str) {
        match self {
            Dialect::GrpcGateway => ("grpc-metadata-", "grpc-trailer-"),
            Dialect::Strict | Dialect::Envoy => ("", ""),
        }
    }

    /// Whether the messages of a stream come as `{"result":…}`.
    pub(crate) fn has_envelope(self) -> bool {
        self == Dialect::GrpcGateway
    }
}

// === impl EmitDefaults ===

impl EmitDefaults {
    pub(crate) fn apply(self, options: &mut Options) {
        options.json.emit_defaults = match self {
            EmitDefaults::Dialect => return,
            EmitDefaults::Never => transcoder::EmitDefaults::Never,
            EmitDefaults::Scalars => transcoder::EmitDefaults::Scalars,
            EmitDefaults::All => transcoder::EmitDefaults::All,
            EmitDefaults::Nulls => transcoder::EmitDefaults::Nulls,
        };
    }
}

// === impl UnknownFields ===

impl UnknownFields {
    pub(crate) fn apply(self, options: &mut Options) {
        options.json.ignore_unknown_fields = match self {
            UnknownFields::Dialect => return,
            UnknownFields::Refuse => false,
            UnknownFields::Ignore => true,
        };
    }
}

// === impl TrailingSlash ===

impl TrailingSlash {
    pub(crate) fn apply(self, options: &mut Options) {
        options.routes.trailing_slash = match self {
            TrailingSlash::Dialect => return,
            TrailingSlash::Strict => transcoder::TrailingSlash::Strict,
            TrailingSlash::Redirect => transcoder::TrailingSlash::Redirect,
            TrailingSlash::Ignore => transcoder::TrailingSlash::Ignore,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_framed_as_each_gateway_does() {
        const JSON: &str = "application/json";
        const EVENTS: &str = "text/event-stream";
        const LINES: &str = "application/x-ndjson";
        for (dialect, accept, alt, expected) in [
            (
                Dialect::Strict,
                JSON,
                None,
                Some((Framing::JsonArray, JSON)),
            ),
            (Dialect::Strict, "*/*", None, Some((Framing::Ndjson, LINES))),
            (Dialect::Strict, "text/html", None, None),
            (
                Dialect::Envoy,
                "text/html",
                None,
                Some((Framing::JsonArray, JSON)),
            ),
            (Dialect::Envoy, EVENTS, None, Some((Framing::Sse, EVENTS))),
            (
                Dialect::GrpcGateway,
                JSON,
                None,
                Some((Framing::Ndjson, JSON)),
            ),
            (
                Dialect::GrpcGateway,
                "",
                None,
                Some((Framing::Ndjson, JSON)),
            ),
            (
                Dialect::GrpcGateway,
                "*/*",
                None,
                Some((Framing::Ndjson, JSON)),
            ),
            (
                Dialect::GrpcGateway,
                "text/html",
                None,
                Some((Framing::Ndjson, JSON)),
            ),
            (
                Dialect::GrpcGateway,
                LINES,
                None,
                Some((Framing::Ndjson, LINES)),
            ),
            (
                Dialect::GrpcGateway,
                EVENTS,
                None,
                Some((Framing::Sse, EVENTS)),
            ),
            (
                Dialect::GrpcGateway,
                JSON,
                Some("json"),
                Some((Framing::JsonArray, JSON)),
            ),
            (Dialect::GrpcGateway, JSON, Some("nope"), None),
        ] {
            assert_eq!(
                dialect.framing(accept, alt),
                expected,
                "{dialect:?} {accept} {alt:?}"
            );
        }
    }
}
