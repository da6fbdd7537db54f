//! Where the messages of a route keep a `google.api.HttpBody`: raw bytes instead of JSON.

use descriptors::{FieldPlan, Kind, MessageId, Types};
use routes::Body;
use wire::{Tag, WireType};

const HTTP_BODY: &str = "google.api.HttpBody";

/// Where the request message keeps the HttpBody: it is one, or a field of it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload {
    pub(crate) field: Option<Around>,
}

/// The tag of the HttpBody field, and its end tag where it is a group (`DELIMITED` in editions).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    pub(crate) tag: Tag,
    pub(crate) end: Option<Tag>,
}

/// Where the response message keeps the HttpBody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Download {
    pub(crate) field: Option<u32>,
}

pub(super) fn plan(types: &Types, input: MessageId, body: &Body) -> Option<Upload> {
    match *body {
        Body::None => None,
        Body::Whole => is_http_body(types, input).then_some(Upload { field: None }),
        Body::Field(index) => {
            let field = &types.message(input).fields[index];
            let is_group = matches!(field.kind, Kind::Group(_));
            let end = is_group.then(|| Tag::new(field.number, WireType::EndGroup));
            let tag = field.tag;
            holds_http_body(types, field).then_some(Upload {
                field: Some(Around { tag, end }),
            })
        }
    }
}

pub(super) fn plan_response(
    types: &Types,
    output: MessageId,
    field: Option<usize>,
) -> Option<Download> {
    match field {
        None => is_http_body(types, output).then_some(Download { field: None }),
        Some(index) => {
            let field = &types.message(output).fields[index];
            holds_http_body(types, field).then_some(Download {
                field: Some(field.number),
            })
        }
    }
}

fn holds_http_body(types: &Types, field: &FieldPlan) -> bool {
    field.is_singular() && field.message().is_some_and(|id| is_http_body(types, id))
}

fn is_http_body(types: &Types, id: MessageId) -> bool {
    *types.message(id).name == *HTTP_BODY
}
