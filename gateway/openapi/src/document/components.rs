//! Parts that operations share: component schemas, and the responses of errors.

use descriptors::{EnumId, MessageId, Shape};

use transcoder::Route;

use super::Document;
use super::rpc::{self, RPC_ERROR};
use crate::scalars::{self, typed};
use crate::value::{Json, Object};

pub(super) const STATUS: &str = "google.rpc.Status";
pub(super) const ANY: &str = "google.protobuf.Any";
pub(super) const STREAM_ERROR: &str = "StreamError";

/// A type whose schema is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Component {
    Message(MessageId, Side),
    Enum(EnumId),
}

/// The writer of a message. What readers refuse is known of requests, and nothing is promised for
/// responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Request,
    Response,
}

impl Document<'_> {
    pub(super) fn components(&mut self) -> Object {
        let mut components = Object::new();
        let responses = self.shared_responses();
        if !responses.is_empty() {
            components.set("responses", responses);
        }
        self.write_components();
        if self.uses_default_error {
            self.schemas.insert(STATUS.to_owned(), error_status());
            self.schemas.insert(ANY.to_owned(), any());
        }
        if self.uses_rpc_error {
            self.schemas
                .insert(RPC_ERROR.to_owned(), rpc::error_schema());
        }
        if self.uses_stream_error {
            let error = typed("object")
                .with("description", "The end of a stream that failed.")
                .with(
                    "properties",
                    Object::new().with("error", schema_ref(STATUS)),
                )
                .with("required", Json::list(["error"]));
            self.schemas.insert(STREAM_ERROR.to_owned(), error);
        }
        let mut schemas = Object::new();
        for (name, schema) in std::mem::take(&mut self.schemas) {
            schemas.push(name, schema);
        }
        let components = components.with("schemas", schemas);
        match self.security_schemes() {
            Some(schemes) => components.with("securitySchemes", schemes),
            None => components,
        }
    }

    fn shared_responses(&mut self) -> Object {
        let mut responses = Object::new();
        if self.uses_default_error {
            let media = Object::new().with("schema", schema_ref(STATUS));
            let error = Object::new()
                .with(
                    "description",
                    "An error; the HTTP status follows from its code.",
                )
                .with("content", Object::new().with("application/json", media));
            responses.set("Error", error);
        }
        if self.uses_default_error {
            let empty = Object::new().with("description", "Success, without content.");
            responses.set("Empty", empty);
            let text = "The upstream refers to another resource, or nothing has changed.";
            responses.set("Other", Object::new().with("description", text));
        }
        if self.uses_rpc_error {
            responses.set(RPC_ERROR, rpc::error_response());
        }
        if self.uses_invalid_request {
            responses.set("InvalidRequest", self.invalid_request());
        }
        responses
    }

    /// The schemas of all types that were referred to, and of those that these refer to.
    fn write_components(&mut self) {
        while let Some(component) = self.pending.pop() {
            let name = self.component_name(component);
            let schema = match component {
                Component::Message(id, side) => {
                    self.side = side;
                    self.message(id)
                }
                Component::Enum(id) => match self.pool.enums.get(id) {
                    Some(definition) => self.enumeration(definition),
                    None => continue,
                },
            };
            self.schemas.insert(name, schema);
        }
    }

    /// `$ref`, and a promise to write what it refers to.
    pub(super) fn reference(&mut self, component: Component) -> Object {
        if self.seen.insert(component) {
            self.pending.push(component);
        }
        schema_ref(&self.component_name(component))
    }

    /// `$ref` to a message, as the side at hand writes it.
    pub(super) fn message_reference(&mut self, id: MessageId) -> Object {
        self.reference(Component::Message(id, self.side))
    }

    /// Returns the full name of the type; with `-Input` for a message of requests that responses
    /// have too, in the form of their own.
    fn component_name(&self, component: Component) -> String {
        match component {
            Component::Message(id, Side::Request) if self.in_responses.contains(&id) => {
                format!("{}-Input", self.pool.message(id).name)
            }
            Component::Message(id, _) => self.pool.message(id).name.to_string(),
            Component::Enum(id) => match self.pool.enums.get(id) {
                Some(found) => found.name.to_string(),
                None => String::new(),
            },
        }
    }

    /// Notes every message that responses of these routes may hold.
    pub(super) fn find_in_responses<'r>(&mut self, routes: impl Iterator<Item = &'r Route>) {
        let mut pending: Vec<MessageId> = routes.map(|route| route.method.output).collect();
        pending.extend(self.types.by_name.get("google.rpc.BadRequest"));
        while let Some(id) = pending.pop() {
            if self.in_responses.insert(id) {
                let fields = &self.types.message(id).fields;
                pending.extend(fields.iter().filter_map(|field| field.message()));
            }
        }
    }

    /// Returns a message as it stands in a body: its component, or the form that a well-known type
    /// has.
    pub(super) fn reference_or_form(&mut self, id: MessageId) -> Object {
        let plan = self.types.message(id);
        match (plan.shape, plan.fields.first()) {
            (Shape::Wrapper, Some(value)) => scalars::nullable(scalars::scalar(value.kind, false)),
            (shape, _) => {
                let own = scalars::well_known(shape).map(|own| self.strict(id, own));
                own.unwrap_or_else(|| self.message_reference(id))
            }
        }
    }
}

pub(super) fn schema_ref(name: &str) -> Object {
    Object::new().with("$ref", format!("#/components/schemas/{name}"))
}

/// Returns the error that [`Schema::write_status`] writes.
fn error_status() -> Object {
    let code = typed("integer")
        .with("format", "int32")
        .with("description", "The code, of `google.rpc.Code`.");
    let message = typed("string").with("description", "What went wrong, for developers.");
    let details = typed("array").with("items", schema_ref(ANY)).with(
        "description",
        "More about it, in messages such as `google.rpc.BadRequest`.",
    );
    let properties = Object::new()
        .with("code", code)
        .with("message", message)
        .with("details", details);
    let example = Object::new()
        .with("code", 5)
        .with("message", "there is no such resource")
        .with("details", Json::List(Vec::new()));
    typed("object")
        .with("description", "An error (`google.rpc.Status`).")
        .with("properties", properties)
        .with("required", Json::list(["code", "message", "details"]))
        .with("examples", Json::list([example]))
}

/// `{}` is an Any without type and value. Twice negated, as generators of code take a choice next
/// to `properties` for one of types.
fn has_type_or_nothing() -> Object {
    let has_type = Object::new().with("required", Json::list(["@type"]));
    let is_empty = Object::new().with("maxProperties", 0);
    Object::new().with("anyOf", Json::list([has_type, is_empty]))
}

/// `google.protobuf.Any`: members of the message, or `value` for types with a special JSON form.
pub(super) fn any() -> Object {
    let url = typed("string").with(
        "description",
        "Type URL; its last segment is the full name of the message.",
    );
    let example = Object::new()
        .with("@type", "type.googleapis.com/google.protobuf.Duration")
        .with("value", "1.500s");
    typed("object")
        .with("description", "Any message, together with its type.")
        .with("properties", Object::new().with("@type", url))
        .with("additionalProperties", true)
        .with("not", Object::new().with("not", has_type_or_nothing()))
        .with("examples", Json::list([example]))
}
