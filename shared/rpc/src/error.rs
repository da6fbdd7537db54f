//! Failures as `tonic::Status`: code, stable reason and google.rpc details.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use http::HeaderName;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, RetryInfo, StatusExt, pb};

mod faults;
mod repair;

#[cfg(test)]
mod tests;

pub use repair::repair_status;

/// Header or trailer with the outcome of a call (gRPC over HTTP/2, "Status").
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

static DOMAIN: OnceLock<String> = OnceLock::new();

/// Domain of `google.rpc.ErrorInfo` before [`set_domain`], as in a unit test.
const DEFAULT_DOMAIN: &str = "protomesh";

/// A failure as the caller sees it (AIP-193): a gRPC code, a stable reason, a message without
/// internals.
///
/// Services map their own errors by `impl From<StoreError> for Fault`; `?` then turns the fault
/// into a [`Status`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Fault {
    /// Canonical gRPC code.
    pub code: Code,
    /// Stable reason, `UPPER_SNAKE_CASE`, at most 63 characters; clients branch on it.
    pub reason: &'static str,
    /// Message for a developer, in English.
    pub message: String,
    /// The invalid fields of the request (`google.rpc.BadRequest`).
    pub violations: Vec<Violation>,
    /// Values that the message mentions, for programs (`google.rpc.ErrorInfo.metadata`).
    pub metadata: Vec<(String, String)>,
    /// Delay before the caller should try again (`google.rpc.RetryInfo`).
    pub retry_after: Option<Duration>,
    /// A detail of a type that is not among `google.rpc`'s.
    pub foreign: Option<Box<Any>>,
}

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path from the request message, for example `lines[3].quantity`.
    pub field: String,
    /// Why the value is rejected.
    pub description: String,
    /// The violated rule, for example `string.min_len`; empty if it has no name.
    pub rule: String,
}

/// Logs an error with its whole chain and returns a bare INTERNAL: callers learn nothing of the
/// internals.
pub fn internal(error: impl Into<anyhow::Error>) -> Fault {
    let error: anyhow::Error = error.into();
    tracing::error!(error = format_args!("{error:#}"), "internal error");
    Fault::new(Code::Internal, "INTERNAL", "internal error")
}

/// Returns the stable reason in a peer's `google.rpc.ErrorInfo`, if there is one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Sets the domain of every [`ErrorInfo`] of this process.
pub fn set_domain(name: &str) {
    // Only a second start in one process calls this twice; the first name stays.
    let _ = DOMAIN.set(name.to_owned());
}

/// Reads the status of trailers, or of trailers-only response headers; `None` if a response has
/// begun. A code above 16 is UNKNOWN with its number in the details, see [`code`].
pub fn from_headers(headers: &http::HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    let code = headers.get(GRPC_STATUS).map(|value| value.as_bytes());
    Some(match code.and_then(repair::parse_code) {
        Some(code) if code > LAST_CODE => with_code(&status, code),
        _ => status,
    })
}

/// The last code that gRPC defines, UNAUTHENTICATED.
const LAST_CODE: i32 = 16;

/// Keeps a code that [`Code`] does not have where `grpc-status-details-bin` has it too.
fn with_code(status: &Status, code: i32) -> Status {
    // Details that are no Status cost themselves only.
    let details = pb::Status::decode(status.details()).unwrap_or_default();
    let details = pb::Status {
        code,
        message: status.message().to_owned(),
        ..details
    };
    let (message, metadata) = (status.message(), status.metadata().clone());
    let details = details.encode_to_vec().into();
    Status::with_details_and_metadata(status.code(), message, details, metadata)
}

/// Returns the code of a status. Of UNKNOWN it is the number in the details if that is above 16:
/// servers may have codes of their own, and clients of gRPC take all of them for UNKNOWN.
pub fn code(status: &Status) -> i32 {
    let code = status.code();
    let details = || pb::Status::decode(status.details()).ok();
    let is_open = code == Code::Unknown && !status.details().is_empty();
    let own = is_open.then(details).flatten().map(|details| details.code);
    own.filter(|own| *own > LAST_CODE).unwrap_or(code as i32)
}

/// Returns the error of a gRPC response without `grpc-status`, with the code that gRPC clients use
/// for it.
pub fn no_status() -> Fault {
    let message = "the upstream ended the response without a status";
    Fault::new(Code::Unknown, "NO_STATUS", message)
}

/// Returns the name of a gRPC code as the OpenTelemetry conventions spell it, for example
/// `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    contract::status_code_name(code as i32)
}

// === impl Fault ===

impl Fault {
    /// Creates a fault without details beyond its reason.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: Vec::new(),
            retry_after: None,
            foreign: None,
        }
    }

    /// Creates INVALID_ARGUMENT: the request is wrong whatever the state of the system.
    pub fn invalid_argument(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, reason, message)
    }

    /// Creates NOT_FOUND: the named resource does not exist.
    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, reason, message)
    }

    /// Creates ALREADY_EXISTS: the resource exists with other content.
    pub fn already_exists(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::AlreadyExists, reason, message)
    }

    /// Creates FAILED_PRECONDITION: the state of the system forbids it; a retry does not help.
    pub fn failed_precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// Creates ABORTED: a concurrent change won; the caller may read again and retry.
    pub fn aborted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::Aborted, reason, message)
    }

    /// Creates RESOURCE_EXHAUSTED: a limit is reached.
    pub fn resource_exhausted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, reason, message)
    }

    /// Creates UNAVAILABLE: a dependency is down; the call had no effect and may be sent again.
    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, reason, message)
    }

    /// Creates DEADLINE_EXCEEDED with its only reason.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "the deadline of the call has passed",
        )
    }

    /// Adds an invalid field.
    #[must_use]
    pub fn violation(self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violation_of("", field, description)
    }

    /// Adds an invalid field and the violated rule.
    #[must_use]
    pub fn violation_of(
        mut self,
        rule: impl Into<String>,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.violations.push(Violation {
            field: field.into(),
            description: description.into(),
            rule: rule.into(),
        });
        self
    }

    /// Adds a value for programs; keys are `[a-zA-Z0-9-_]`, at most 64 characters.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Sets the delay before the caller should try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Sets the detail of another type, encoded.
    #[must_use]
    pub fn foreign(mut self, type_url: &str, value: Vec<u8>) -> Self {
        self.foreign = Some(Box::new(Any {
            type_url: type_url.to_owned(),
            value,
        }));
        self
    }

    fn details(&self) -> Vec<Any> {
        let domain = DOMAIN.get().map_or(DEFAULT_DOMAIN, String::as_str);
        let metadata: HashMap<_, _> = self.metadata.iter().cloned().collect();
        let info = ErrorInfo::new(self.reason, domain, metadata);
        let mut details = vec![any(ErrorInfo::TYPE_URL, &pb::ErrorInfo::from(info))];
        if !self.violations.is_empty() {
            details.push(any(
                tonic_types::BadRequest::TYPE_URL,
                &bad_request(&self.violations),
            ));
        }
        if let Some(delay) = self.retry_after {
            let retry = RetryInfo::new(Some(delay));
            details.push(any(RetryInfo::TYPE_URL, &pb::RetryInfo::from(retry)));
        }
        details.extend(self.foreign.as_deref().cloned());
        details
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let body = pb::Status {
            code: fault.code as i32,
            message: fault.message.clone(),
            details: fault.details(),
        };
        Status::with_details(fault.code, fault.message, body.encode_to_vec().into())
    }
}

// The builder of tonic-types has no `FieldViolation.reason`.
fn bad_request(violations: &[Violation]) -> pb::BadRequest {
    let field_violations = violations
        .iter()
        .map(|violation| pb::bad_request::FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
            reason: violation.rule.clone(),
            localized_message: None,
        })
        .collect();
    pb::BadRequest { field_violations }
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: message.encode_to_vec(),
    }
}
