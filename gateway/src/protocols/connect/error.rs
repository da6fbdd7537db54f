//! Failures as Connect writes them: code, message and details in JSON (Connect protocol, "Error").

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Response;
use http::header::ACCEPT_ENCODING;
use prost::Message;
use prost_types::Any;
use serde::Serialize;
use serde_json::value::RawValue;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};
use transcoder::Schema;

use crate::failure::Failure;
use crate::protocols::http_failure;
use crate::protocols::inspect;

/// Reason of the detail with the number of a code above 16.
const OWN_CODE: &str = "UNKNOWN_CODE";

/// The JSON of a failure.
#[derive(Debug, Serialize)]
pub(super) struct ConnectError {
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

/// One of `google.rpc.Status.details`.
#[derive(Debug, Serialize)]
struct Detail {
    /// Full name of the message.
    #[serde(rename = "type")]
    name: String,
    /// Its wire bytes, in base64 without padding.
    value: String,
    /// Its JSON, where the schema has the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Box<RawValue>>,
}

impl ConnectError {
    pub(super) fn of(status: &Status, schema: &Schema) -> Self {
        // Bytes that are no Status cost the details, never the error itself.
        let mut details = pb::Status::decode(status.details())
            .unwrap_or_default()
            .details;
        details.extend(numbered(status));
        Self {
            code: code_name(status.code()),
            message: status.message().to_owned(),
            details: details
                .into_iter()
                .map(|detail| Detail::of(&detail.type_url, &detail.value, schema))
                .collect(),
        }
    }
}

/// Connect has no place for a code of the upstream's own, which is `unknown` there: a detail has
/// its number.
fn numbered(status: &Status) -> Option<Any> {
    let code = rpc::error::code(status);
    let metadata = [("code".to_owned(), code.to_string())];
    let details = ErrorDetails::with_error_info(OWN_CODE, "grpc-status", metadata);
    let described = Status::with_error_details(Code::Unknown, "", details);
    let mut details = pb::Status::decode(described.details()).ok()?.details;
    details.pop().filter(|_| code != status.code() as i32)
}

impl Detail {
    fn of(type_url: &str, value: &[u8], schema: &Schema) -> Self {
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let mut json = Vec::new();
        let written = schema.write_json(name, value, &mut json);
        let debug = written.ok().and_then(|()| {
            let json = String::from_utf8(json).ok()?;
            RawValue::from_string(json).ok()
        });
        Self {
            name: name.to_owned(),
            value: STANDARD_NO_PAD.encode(value),
            debug,
        }
    }
}

/// The response of a unary call that failed.
pub(super) fn respond(mut failure: Failure, schema: &Schema) -> Response<Body> {
    let metadata = std::mem::take(failure.status.metadata_mut()).into_headers();
    let json = serde_json::to_vec(&ConnectError::of(&failure.status, schema)).unwrap_or_default();
    let mut response = http_failure::respond(failure, json);
    if let Some(codings) = metadata.get(inspect::ACCEPT_ENCODING) {
        response
            .headers_mut()
            .insert(ACCEPT_ENCODING, codings.clone());
    }
    response
}

/// As Connect spells it, which is gRPC's name in lower case but for one.
fn code_name(code: Code) -> String {
    match code {
        Code::Cancelled => "canceled".to_owned(),
        code => transcoder::status_code_name(code as i32).to_ascii_lowercase(),
    }
}
