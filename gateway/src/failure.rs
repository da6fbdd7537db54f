//! Failures of the gateway: a gRPC status and its HTTP counterpart. Each protocol renders them in
//! its own form.

use std::io::ErrorKind;

use admission::Excess;
use chassis::error::Fault;
use chassis::server::violations;
use chassis::stalled::REQUEST_STALLED;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, LOCATION};
use serde::Deserialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use transcoder::{RequestError, RouteError, Rule, WireError};

/// The details that errors expose.
#[derive(Clone, Debug, Deserialize)]
pub struct ErrorSettings {
    /// Whether callers see `google.rpc.DebugInfo`, the stack traces of upstreams.
    pub debug_info: bool,
    /// Whether errors of the gateway's own carry their stable reason in the protocols of gRPC and
    /// Connect too.
    pub reasons: bool,
}

/// The key that bounds request bodies.
pub(crate) const BODY_LIMIT: &str = "max_body_bytes";

/// The header of an answer that an earlier call has got first.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A failure before or instead of a response: the status and its HTTP counterpart.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Where HTTP has a finer word than the gRPC code: 308, 405, 406, 408, 413, 414, 415.
    pub(crate) http: Option<StatusCode>,
    /// The header that belongs to that status.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    /// Whether it is written as the first item of a stream, `{"error":…}`, as grpc-gateway does.
    pub(crate) in_stream: bool,
    /// Full name of the type that a `google.protobuf.Any` of the request names and that is not
    /// known.
    pub(crate) missing_type: Option<Box<str>>,
}

/// Where a message of an upstream comes from.
pub(crate) struct MessageOrigin<'a> {
    pub(crate) upstream: &'a str,
    /// `/package.Service/Method`.
    pub(crate) method: &'a str,
    /// Full name of the type.
    pub(crate) message: &'a str,
}

impl Failure {
    /// `size` is the length of the body, where it was declared.
    pub(crate) fn body_too_large(size: Option<u64>, max_bytes: usize) -> Self {
        let size = size.map_or(String::new(), |size| format!(" of {size} bytes"));
        let message =
            format!("the body{size} exceeds the limit of {max_bytes} bytes (`{BODY_LIMIT}`)");
        let fault = Fault::resource_exhausted("BODY_TOO_LARGE", message)
            .metadata("max_bytes", max_bytes.to_string());
        Self::http(StatusCode::PAYLOAD_TOO_LARGE, fault)
    }

    /// A message of the upstream that is not of its type. The error has no values of the message:
    /// they may be meant for others than the caller.
    pub(crate) fn bad_message(error: &WireError, origin: &MessageOrigin<'_>) -> Self {
        let MessageOrigin {
            upstream,
            method,
            message,
        } = origin;
        tracing::error!(%error, upstream, method, r#type = message, "message of upstream violates its contract");
        let text = format!("the upstream sent a {message} that violates its own contract: {error}");
        let mut fault = Fault::new(Code::Internal, "BAD_UPSTREAM_MESSAGE", text)
            .metadata("message", *message)
            .metadata("problem", error.description);
        if !error.path.is_empty() {
            fault = fault.metadata("field", &error.path);
        }
        fault.into()
    }

    pub(crate) fn unsupported_media_type(found: &str, taken: &str) -> Self {
        // What curl sends with `-d`.
        let hint = match found.starts_with("application/x-www-form-urlencoded") {
            true => "; for JSON send `-H 'content-type: application/json'`",
            false => "",
        };
        let message = format!("unsupported content type `{found}`; expected {taken}{hint}");
        let fault = Fault::invalid_argument("UNSUPPORTED_MEDIA_TYPE", message);
        Self::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault)
    }

    pub(crate) fn unsupported_coding(found: &str, taken: &str) -> Self {
        let message = format!("unsupported content coding `{found}`; expected one of `{taken}`");
        let fault = Fault::invalid_argument("UNSUPPORTED_CONTENT_CODING", message);
        // The list of codings tells this 415 from that of a media type (RFC 9110 §12.5.3).
        Self::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault).with(ACCEPT_ENCODING, taken)
    }

    pub(crate) fn not_acceptable(offered: &str) -> Self {
        let message =
            format!("the `accept` header excludes all media types of the response: {offered}");
        let fault = Fault::invalid_argument("NOT_ACCEPTABLE", message);
        Self::http(StatusCode::NOT_ACCEPTABLE, fault)
    }

    pub(crate) fn fields_of_protobuf() -> Self {
        let message = "`$fields` selects JSON fields and cannot be combined with protobuf";
        Fault::invalid_argument("FIELDS_OF_PROTOBUF", message)
            .violation("$fields", "requires a JSON response")
            .into()
    }

    /// No route matches a request with this query.
    pub(crate) fn unrouted(error: RouteError, query: Option<&str>) -> Self {
        let message = error.to_string();
        match error {
            RouteError::NotFound => Fault::not_found("ROUTE_NOT_FOUND", message).into(),
            RouteError::BadPath { .. } => Fault::invalid_argument("BAD_PATH", message).into(),
            RouteError::PathTooLong { .. } => {
                let fault = Fault::invalid_argument("PATH_TOO_LONG", message);
                Self::http(StatusCode::URI_TOO_LONG, fault)
            }
            RouteError::Redirect { location } => {
                let fault = Fault::not_found("TRAILING_SLASH", message);
                let location = match query {
                    Some(query) => format!("{location}?{query}"),
                    None => location,
                };
                Self::http(StatusCode::PERMANENT_REDIRECT, fault).with(LOCATION, &location)
            }
            RouteError::MethodNotAllowed { allow } => {
                let methods: Vec<&str> = allow.iter().map(http::Method::as_str).collect();
                let fault = Fault::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message);
                Self::http(StatusCode::METHOD_NOT_ALLOWED, fault).with(ALLOW, &methods.join(", "))
            }
        }
    }

    /// A method of gRPC is called in one way only.
    pub(crate) fn method_not_allowed(found: &http::Method, allowed: &'static str) -> Self {
        let message = format!("{found} is not allowed here; allowed: {allowed}");
        let fault = Fault::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message);
        Self::http(StatusCode::METHOD_NOT_ALLOWED, fault).with(ALLOW, allowed)
    }

    pub(crate) fn unknown_service(path: &str) -> Self {
        let message = format!("no upstream serves `{path}`");
        let fault = Fault::new(Code::Unimplemented, "UNKNOWN_SERVICE", message);
        Self::http(StatusCode::NOT_FOUND, fault)
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    /// The client aborted the request. Only logs and metrics see this.
    pub(crate) fn client_gone() -> Self {
        Status::cancelled("request aborted by client").into()
    }

    /// A body that could not be read to its end.
    pub(crate) fn unread(status: Option<&Status>) -> Self {
        let Some(status) = status else {
            return Self::client_gone();
        };
        if chassis::error::reason(status).as_deref() == Some(REQUEST_STALLED) {
            return Self {
                http: Some(StatusCode::REQUEST_TIMEOUT),
                ..status.clone().into()
            };
        }
        // A refusal of the gateway's own; the client's errors have no reason.
        if chassis::error::reason(status).is_some() {
            return status.clone().into();
        }
        if is_malformed(status) {
            let message = "the body does not follow its framing (RFC 9112 §7.1)";
            return Fault::invalid_argument("MALFORMED_BODY", message).into();
        }
        Self::client_gone()
    }

    pub(crate) fn bad_header(name: &str, expected: &str) -> Self {
        let message = format!("the header `{name}` is malformed: expected {expected}");
        Fault::invalid_argument("BAD_HEADER", message)
            .violation(name, expected)
            .into()
    }

    /// The protocol that was asked for is spoken here, in another version.
    pub(crate) fn upgrade_required(name: HeaderName, version: &str) -> Self {
        let message = format!("unsupported version in the header `{name}`; expected {version}");
        let fault = Fault::invalid_argument("UPGRADE_REQUIRED", message);
        Self::http(StatusCode::UPGRADE_REQUIRED, fault).with(name, version)
    }

    /// A page of a site that may not connect.
    pub(crate) fn origin_refused(origin: &str) -> Self {
        let message = format!("pages of `{origin}` may not connect (`websocket.allowed_origins`)");
        Fault::new(Code::PermissionDenied, "ORIGIN_REFUSED", message).into()
    }

    /// A request that a page of another site has made a browser send.
    pub(crate) fn cross_site(origin: &str) -> Self {
        let message = format!(
            "a page of `{origin}` may not send this request (`cors.allowed_origins` lists the origins that may)"
        );
        Fault::new(Code::PermissionDenied, "CROSS_SITE", message).into()
    }

    /// A call that ended in an error, an earlier one's perhaps, or was not made.
    pub(crate) fn unanswered(mut status: Status) -> Self {
        let http = match chassis::error::reason(&status).as_deref() {
            // RFC 9111 §5.2.1.7.
            Some(cache::NOT_CACHED) => Some(StatusCode::GATEWAY_TIMEOUT),
            // draft-ietf-httpapi-idempotency-key-header §2.7.
            Some(idempotency::KEY_REUSED) => Some(StatusCode::UNPROCESSABLE_ENTITY),
            _ => None,
        };
        let replayed = status.metadata_mut().remove(REPLAYED.as_str());
        Self {
            http,
            header: replayed.map(|_| (REPLAYED, HeaderValue::from_static("true"))),
            ..status.into()
        }
    }

    /// A schema that has not been learned completely cannot tell what does not exist.
    pub(crate) fn incomplete() -> Self {
        let message = "the API of an upstream is not known yet; it may serve this request";
        Fault::unavailable("SCHEMA_INCOMPLETE", message)
            .retry_after(std::time::Duration::from_secs(1))
            .into()
    }

    /// Whether a request breaks validation rules of its contract, which is for the upstream to say
    /// where no gateway checks them.
    pub(crate) fn is_of_rules(&self) -> bool {
        let reason = chassis::error::reason(&self.status);
        reason.as_deref() == Some(Rule::Violation.as_str())
    }

    pub(crate) fn in_stream(self, in_stream: bool) -> Self {
        Self { in_stream, ..self }
    }

    fn http(http: StatusCode, fault: Fault) -> Self {
        Self {
            http: Some(http),
            ..Status::from(fault).into()
        }
    }
}

/// Whether hyper could not make sense of a body, as opposed to not getting it.
fn is_malformed(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData);
        }
        cause = error.source();
    }
    false
}

/// The error without its details, unless they tell which fields are wrong.
pub(crate) fn without_reason(status: Status) -> Status {
    if status.get_details_bad_request().is_some() {
        return status;
    }
    let metadata = status.metadata().clone();
    Status::with_metadata(status.code(), status.message(), metadata)
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            status,
            http: None,
            header: None,
            in_stream: false,
            missing_type: None,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Status::from(fault).into()
    }
}

impl From<Excess> for Failure {
    fn from(excess: Excess) -> Self {
        Fault::from(excess).into()
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let mut fault = Fault::invalid_argument(error.rule.as_str(), error.to_string());
        if !error.violations.is_empty() {
            fault.violations = violations::listed(error.violations);
        } else if !error.path.is_empty() {
            fault = fault.violation(error.path, error.description);
        }
        Self {
            missing_type: error.missing_type,
            ..fault.into()
        }
    }
}
