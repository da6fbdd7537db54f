//! The promises that a new contract breaks.

use std::fmt;

/// One change that callers of the old contract would notice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BreakingChange {
    /// Name of the proto file; the new one's, where it still has the definition.
    pub file: String,
    /// Full name of the definition that has changed.
    pub element: String,
    /// The broken promise.
    pub rule: Breakage,
    /// The old state.
    pub before: String,
    /// The new state.
    pub after: String,
}

/// A promise of a contract that a change breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breakage {
    /// A method, or the service with it, is gone.
    MethodRemoved,
    /// A side of a method streams that did not, or the other way round.
    MethodKind,
    /// A method takes another message.
    RequestType,
    /// A method returns another message.
    ResponseType,
    /// A method that only read, so that it could be called by GET and repeated, promises less.
    Idempotency,
    /// No binding of the method has this HTTP method and path.
    RouteRemoved,
    /// The body of a binding is another part of the request.
    RouteBody,
    /// The body of the response is another part of it.
    RouteResponseBody,
    /// The path sets other fields.
    RouteVariables,
    /// A field is gone, and its number and name are not both reserved.
    FieldRemoved,
    /// A field has another number.
    FieldNumber,
    /// A field has another name, in JSON or in the proto file: JSON takes both.
    FieldName,
    /// A field has another type.
    FieldType,
    /// A field is one value, a list or a map, and was another of these.
    FieldCardinality,
    /// A field has joined or left a oneof.
    FieldOneof,
    /// Requests need a field that they did not, or responses no longer always have one.
    FieldRequired,
    /// A name of an enum is gone, and its number and name are not both reserved.
    EnumValueRemoved,
    /// A name of an enum has another number.
    EnumValueNumber,
    /// A number of an enum has another name.
    EnumValueName,
    /// A rule of `buf.validate` rejects formerly valid values.
    Validation,
    /// Callers who were let in are not any more (`mesh.v1.access`).
    AccessNarrowed,
    /// Callers who were not let in are now (`mesh.v1.access`): it breaks nobody, and protects less.
    AccessWidened,
    /// A message, or its option `mesh.v1.event`, is gone: its events are of an unknown type.
    EventRemoved,
    /// Events are about another kind of entity, which is part of their subject.
    EventAggregate,
    /// Another field identifies the entity of events, so that they are ordered by other keys.
    EventKey,
}

// === impl BreakingChange ===

impl fmt::Display for BreakingChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            element,
            rule,
            before,
            after,
        } = self;
        if !file.is_empty() {
            write!(formatter, "{file}: ")?;
        }
        write!(
            formatter,
            "{element}: {}: {before} → {after}",
            rule.as_str()
        )
    }
}

// === impl Breakage ===

impl Breakage {
    /// Returns what to write instead, so that the old contract is kept.
    pub fn advice(self) -> &'static str {
        match self {
            Self::MethodRemoved
            | Self::MethodKind
            | Self::RequestType
            | Self::ResponseType
            | Self::Idempotency => {
                "keep the method, and add another one or a new version of the package"
            }
            Self::RouteRemoved
            | Self::RouteBody
            | Self::RouteResponseBody
            | Self::RouteVariables => {
                "keep the binding, and add the new one to `additional_bindings`"
            }
            Self::FieldRemoved | Self::EnumValueRemoved => "reserve its number and its name",
            Self::FieldNumber
            | Self::FieldName
            | Self::FieldType
            | Self::FieldCardinality
            | Self::FieldOneof => "keep the field, and add another one with a new number",
            Self::FieldRequired => "keep the field as it was, and check it in the service",
            Self::EnumValueNumber | Self::EnumValueName => {
                "keep the value, and add another one with a new number"
            }
            Self::Validation => {
                "keep the rule as wide as it was, or put the new one on a new field"
            }
            Self::AccessNarrowed => {
                "let those callers in for as long as they call, or tell them before"
            }
            Self::AccessWidened => "make sure that these callers are meant",
            Self::EventRemoved => {
                "keep the message and its option while any of its events is stored"
            }
            Self::EventAggregate | Self::EventKey => "keep the option, and publish a new event",
        }
    }

    /// Stable name, for logs and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MethodRemoved => "METHOD_REMOVED",
            Self::MethodKind => "METHOD_KIND",
            Self::RequestType => "REQUEST_TYPE",
            Self::ResponseType => "RESPONSE_TYPE",
            Self::Idempotency => "IDEMPOTENCY",
            Self::RouteRemoved => "ROUTE_REMOVED",
            Self::RouteBody => "ROUTE_BODY",
            Self::RouteResponseBody => "ROUTE_RESPONSE_BODY",
            Self::RouteVariables => "ROUTE_VARIABLES",
            Self::FieldRemoved => "FIELD_REMOVED",
            Self::FieldNumber => "FIELD_NUMBER",
            Self::FieldName => "FIELD_NAME",
            Self::FieldType => "FIELD_TYPE",
            Self::FieldCardinality => "FIELD_CARDINALITY",
            Self::FieldOneof => "FIELD_ONEOF",
            Self::FieldRequired => "FIELD_REQUIRED",
            Self::EnumValueRemoved => "ENUM_VALUE_REMOVED",
            Self::EnumValueNumber => "ENUM_VALUE_NUMBER",
            Self::EnumValueName => "ENUM_VALUE_NAME",
            Self::Validation => "VALIDATION",
            Self::AccessNarrowed => "ACCESS_NARROWED",
            Self::AccessWidened => "ACCESS_WIDENED",
            Self::EventRemoved => "EVENT_REMOVED",
            Self::EventAggregate => "EVENT_AGGREGATE",
            Self::EventKey => "EVENT_KEY",
        }
    }
}
