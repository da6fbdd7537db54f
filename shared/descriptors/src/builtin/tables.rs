//! The fields of the types that a schema always knows.

use crate::kind::Kind;

/// One field; the fields of each message are numbered from one, without gaps.
pub(super) struct StandardField {
    pub(super) name: &'static str,
    pub(super) content: Content,
    pub(super) multiplicity: Multiplicity,
}

#[derive(Clone, Copy)]
pub(super) enum Content {
    Scalar(Kind),
    /// A message of the same package, or of `google.protobuf` if it starts with a dot.
    Message(&'static str),
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Multiplicity {
    One,
    /// A proto3 `optional`.
    Optional,
    Many,
    /// From string.
    Map,
    /// In the message's oneof.
    OneOf,
}

const fn field(name: &'static str, content: Content, multiplicity: Multiplicity) -> StandardField {
    StandardField {
        name,
        content,
        multiplicity,
    }
}

const fn scalar(name: &'static str, kind: Kind) -> StandardField {
    field(name, Content::Scalar(kind), Multiplicity::One)
}

const fn text(name: &'static str) -> StandardField {
    scalar(name, Kind::String)
}

const fn message(name: &'static str, type_name: &'static str) -> StandardField {
    field(name, Content::Message(type_name), Multiplicity::One)
}

const fn messages(name: &'static str, type_name: &'static str) -> StandardField {
    field(name, Content::Message(type_name), Multiplicity::Many)
}

const fn texts(name: &'static str) -> StandardField {
    field(name, Content::Scalar(Kind::String), Multiplicity::Map)
}

const fn choice(name: &'static str, content: Content) -> StandardField {
    field(name, content, Multiplicity::OneOf)
}

pub(super) type Table = &'static [(&'static str, &'static [StandardField])];

/// `google/protobuf/{any,duration,empty,field_mask,struct,timestamp,wrappers}.proto`.
pub(super) const WELL_KNOWN: Table = &[
    ("Any", &[text("type_url"), scalar("value", Kind::Bytes)]),
    ("Duration", SECONDS_AND_NANOS),
    ("Timestamp", SECONDS_AND_NANOS),
    ("Empty", &[]),
    (
        "FieldMask",
        &[field(
            "paths",
            Content::Scalar(Kind::String),
            Multiplicity::Many,
        )],
    ),
    (
        "Struct",
        &[field(
            "fields",
            Content::Message("Value"),
            Multiplicity::Map,
        )],
    ),
    (
        "Value",
        &[
            choice("null_value", Content::Null),
            choice("number_value", Content::Scalar(Kind::Double)),
            choice("string_value", Content::Scalar(Kind::String)),
            choice("bool_value", Content::Scalar(Kind::Bool)),
            choice("struct_value", Content::Message("Struct")),
            choice("list_value", Content::Message("ListValue")),
        ],
    ),
    ("ListValue", &[messages("values", "Value")]),
    ("DoubleValue", &[scalar("value", Kind::Double)]),
    ("FloatValue", &[scalar("value", Kind::Float)]),
    ("Int64Value", &[scalar("value", Kind::Int64)]),
    ("UInt64Value", &[scalar("value", Kind::Uint64)]),
    ("Int32Value", &[scalar("value", Kind::Int32)]),
    ("UInt32Value", &[scalar("value", Kind::Uint32)]),
    ("BoolValue", &[scalar("value", Kind::Bool)]),
    ("StringValue", &[text("value")]),
    ("BytesValue", &[scalar("value", Kind::Bytes)]),
];

const SECONDS_AND_NANOS: &[StandardField] =
    &[scalar("seconds", Kind::Int64), scalar("nanos", Kind::Int32)];

/// `google/rpc/error_details.proto`.
pub(super) const ERROR_DETAILS: Table = &[
    (
        "ErrorInfo",
        &[text("reason"), text("domain"), texts("metadata")],
    ),
    ("RetryInfo", &[message("retry_delay", ".Duration")]),
    (
        "DebugInfo",
        &[
            field(
                "stack_entries",
                Content::Scalar(Kind::String),
                Multiplicity::Many,
            ),
            text("detail"),
        ],
    ),
    (
        "QuotaFailure",
        &[messages("violations", "QuotaFailure.Violation")],
    ),
    (
        "QuotaFailure.Violation",
        &[
            text("subject"),
            text("description"),
            text("api_service"),
            text("quota_metric"),
            text("quota_id"),
            texts("quota_dimensions"),
            scalar("quota_value", Kind::Int64),
            field(
                "future_quota_value",
                Content::Scalar(Kind::Int64),
                Multiplicity::Optional,
            ),
        ],
    ),
    (
        "PreconditionFailure",
        &[messages("violations", "PreconditionFailure.Violation")],
    ),
    (
        "PreconditionFailure.Violation",
        &[text("type"), text("subject"), text("description")],
    ),
    (
        "BadRequest",
        &[messages("field_violations", "BadRequest.FieldViolation")],
    ),
    (
        "BadRequest.FieldViolation",
        &[
            text("field"),
            text("description"),
            text("reason"),
            message("localized_message", "LocalizedMessage"),
        ],
    ),
    ("RequestInfo", &[text("request_id"), text("serving_data")]),
    (
        "ResourceInfo",
        &[
            text("resource_type"),
            text("resource_name"),
            text("owner"),
            text("description"),
        ],
    ),
    ("Help", &[messages("links", "Help.Link")]),
    ("Help.Link", &[text("description"), text("url")]),
    ("LocalizedMessage", &[text("locale"), text("message")]),
];
