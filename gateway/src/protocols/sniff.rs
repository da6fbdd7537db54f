//! Detects the protocol of a request.

use chassis::metrics;
use chassis::observe;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use transcoder::{MethodPlan, Schema};

use super::grpc_web::Encoding;
use super::websocket;

/// Says that a request is Connect's, whatever its path is (Connect protocol, "Unary-Request").
pub(crate) const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");

/// The label of gRPC-Web, binary or text, in metrics, spans and log lines.
const GRPC_WEB: metrics::Protocol = metrics::Protocol::rpc("grpc_web");

/// The label of Connect.
const CONNECT: metrics::Protocol = metrics::Protocol::rpc("connect");

/// The protocol of one request. Each answers every failure in its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc(Codec),
    GrpcWeb(Encoding, Codec),
    /// One request in the body, one response.
    ConnectUnary(Codec),
    /// One request in the query, one response.
    ConnectGet,
    /// Enveloped messages on both sides.
    ConnectStream(Codec),
    /// A method's path, asked for in a way that no protocol has.
    ConnectMismatch,
    WebSocket,
    /// The JSON API: all other requests.
    Rest,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Proto,
    Json,
    /// One that the gateway does not know, so that it could not check what the contract demands.
    Unknown,
}

impl Protocol {
    /// The sniff.
    pub(crate) fn of(head: &Parts, schema: &Schema) -> Self {
        // 1. The content types of gRPC and of Connect streams are unambiguous.
        let media_type = media_type(&head.headers);
        let families = [
            (
                "application/grpc-web-text",
                (|codec| Self::GrpcWeb(Encoding::Text, codec)) as fn(Codec) -> Self,
            ),
            ("application/grpc-web", |codec| {
                Self::GrpcWeb(Encoding::Binary, codec)
            }),
            ("application/grpc", Self::Grpc),
        ];
        for (family, protocol) in families {
            if let Some(codec) = media_type.strip_prefix(family).and_then(Codec::of_suffix) {
                return protocol(codec);
            }
        }
        if let Some(codec) = media_type.strip_prefix("application/connect+") {
            return Self::ConnectStream(Codec::of(codec));
        }
        // 2. The handshake of a WebSocket; its path is one of the JSON API.
        if websocket::is_asked_for(head) {
            return Self::WebSocket;
        }
        // 3. Unary Connect: by header, or by the path of a method that is not a route of the JSON
        // API. JSON for a method with streams is a request of the JSON API without a rule.
        let path = head.uri.path();
        let says_so = head.headers.contains_key(CONNECT_VERSION);
        let is_method_only =
            || schema.method(path).is_some() && schema.route(&head.method, path).is_err();
        let is_stream = || schema.method(path).is_some_and(|method| !is_unary(method));
        match (&head.method, &*media_type) {
            (&Method::POST, "application/json" | "application/x-ndjson")
                if !says_so && is_stream() && is_method_only() =>
            {
                Self::Rest
            }
            (&Method::POST, "application/proto") => Self::ConnectUnary(Codec::Proto),
            (&Method::GET, _) if says_so || is_method_only() => Self::ConnectGet,
            (&Method::POST, "application/json") if says_so || is_method_only() => {
                Self::ConnectUnary(Codec::Json)
            }
            _ if says_so || is_method_only() => Self::ConnectMismatch,
            // 4. The rest.
            _ => Self::Rest,
        }
    }

    /// Returns the name of the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc(_) => metrics::Protocol::GRPC.as_str(),
            Self::GrpcWeb(..) => GRPC_WEB.as_str(),
            Self::WebSocket => "websocket",
            Self::Rest => metrics::Protocol::HTTP.as_str(),
            _ => CONNECT.as_str(),
        }
    }

    /// Notes the method of a call whose path names it; what has a route notes that.
    pub(crate) fn note(self, head: &Parts, schema: &Schema) {
        let counted = match self {
            Self::Grpc(_) => metrics::Protocol::GRPC,
            Self::GrpcWeb(..) => GRPC_WEB,
            Self::ConnectUnary(_) | Self::ConnectGet | Self::ConnectStream(_) => CONNECT,
            Self::ConnectMismatch | Self::WebSocket | Self::Rest => return,
        };
        if let Some(method) = schema.method(head.uri.path()) {
            observe::current().call(method.path(), counted);
        }
    }
}

impl Codec {
    /// Returns the codec of this name, from the suffix of a content type or a query.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "proto" => Self::Proto,
            "json" => Self::Json,
            _ => Self::Unknown,
        }
    }

    /// Returns the codec of a suffix of `application/grpc`; `None` for another media type.
    fn of_suffix(suffix: &str) -> Option<Self> {
        match suffix.strip_prefix('+') {
            None => suffix.is_empty().then_some(Self::Proto),
            Some(name) => Some(Self::of(name)),
        }
    }
}

/// The label of a request by its headers alone, before its path is known.
pub(crate) fn label(headers: &HeaderMap) -> metrics::Protocol {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let content_type = content_type.unwrap_or_default();
    if content_type.starts_with(b"application/grpc-web") {
        GRPC_WEB
    } else if content_type.starts_with(b"application/grpc") {
        metrics::Protocol::GRPC
    } else if content_type.starts_with(b"application/connect+")
        || headers.contains_key(CONNECT_VERSION)
    {
        CONNECT
    } else {
        metrics::Protocol::HTTP
    }
}

/// Whether a method with this plan takes a call with one message on both sides.
pub(crate) fn is_unary(method: &MethodPlan) -> bool {
    method.kind() == transcoder::MethodKind::Unary
}

/// The content type in lower case, without its parameters; empty without one.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let text = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
