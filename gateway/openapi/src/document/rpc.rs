//! Methods without a rule, which are called by their own path: unary ones as calls of Connect,
//! streams as the JSON API has them.

use transcoder::Route;

use super::Document;
use super::components::schema_ref;
use super::operations::{JSON, media};
use crate::scalars::typed;
use crate::value::{Json, Object};

/// The description of such an operation.
pub(super) const DESCRIPTION: &str =
    "the method has no HTTP rule in its contract, so it is called by its gRPC path";

/// The name of the component.
pub(super) const RPC_ERROR: &str = "RpcError";

/// The codes of errors (Connect protocol, "Error Codes").
const CODES: [&str; 16] = [
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

impl Document<'_> {
    /// Returns the responses of a unary call.
    pub(super) fn rpc_responses(&mut self, route: &Route) -> Object {
        self.uses_rpc_error = true;
        let error = format!("#/components/responses/{RPC_ERROR}");
        Object::new()
            .with("200", self.success(route))
            .with("default", Object::new().with("$ref", error))
    }
}

/// Returns the response of a call that failed.
pub(super) fn error_response() -> Object {
    let text = "An error of a unary call (Connect); the HTTP status follows from its code.";
    Object::new()
        .with("description", text)
        .with("content", media(JSON, schema_ref(RPC_ERROR)))
}

/// Returns the schema of an error (Connect protocol, "Error JSON").
pub(super) fn error_schema() -> Object {
    let detail = typed("object").with(
        "properties",
        Object::new()
            .with(
                "type",
                typed("string").with("description", "Full name of the message."),
            )
            .with(
                "value",
                typed("string").with("description", "The message in protobuf, as base64."),
            )
            .with(
                "debug",
                Object::new().with("description", "The message as JSON, for people."),
            ),
    );
    let properties = Object::new()
        .with("code", typed("string").with("enum", Json::list(CODES)))
        .with(
            "message",
            typed("string").with("description", "What went wrong, for developers."),
        )
        .with("details", typed("array").with("items", detail));
    typed("object")
        .with("description", "An error of a unary call (Connect).")
        .with("properties", properties)
        .with("required", Json::list(["code"]))
}
