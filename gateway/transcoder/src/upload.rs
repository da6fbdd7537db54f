//! `google.api.HttpBody`: raw bytes in and out, never looked at as JSON.

use std::ops::Range;

use crate::{
    error::{Failure, RequestError, Rule, WireError},
    plan::{FieldPlan, Kind, MessageId, Types},
    request::{self, Bindings},
    route::{Body, Match, Route},
    wire::{Read, Reader, Tag, WireType, put_delimited, put_varint, varint_len},
};

const HTTP_BODY: &str = "google.api.HttpBody";
/// Field numbers of `google/api/httpbody.proto`.
const CONTENT_TYPE: u32 = 1;
const DATA: u32 = 2;

/// Where the request message keeps the HttpBody: it is one, or a field of it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload {
    field: Option<Around>,
}

/// The tag of the field that the HttpBody is, and the tag behind it where it is a group (`DELIMITED` in editions).
#[derive(Debug, Clone, Copy)]
struct Around {
    tag: Tag,
    end: Option<Tag>,
}

/// Where the response message keeps the HttpBody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Download {
    field: Option<u32>,
}

pub(crate) fn plan(types: &Types, input: MessageId, body: &Body) -> Option<Upload> {
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

pub(crate) fn plan_response(
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

pub(crate) fn encode_head(
    found: &Match<'_>,
    query: Option<&str>,
    content_type: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if found.route.upload.is_none() {
        let reason = "the method takes JSON, not raw bytes";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    let bindings = request::bind(found, query)?;
    bindings.write(out);
    if !binds_content_type(&bindings) {
        put_part(found.route, CONTENT_TYPE, content_type.as_bytes(), out);
    }
    Ok(())
}

/// Whether a variable of the path is the content type, which it may bind like any other field, and then wins over the header.
fn binds_content_type(bindings: &Bindings<'_>) -> bool {
    let (types, input) = (&bindings.route.types, bindings.route.method.input);
    let type_in = |body: MessageId| types.message(body).by_number(CONTENT_TYPE);
    match bindings.route.body {
        Body::None => false,
        Body::Whole => type_in(input).is_some_and(|index| bindings.binds(&[index])),
        Body::Field(field) => {
            let body = types.message(input).fields[field].message();
            let index = body.and_then(type_in);
            index.is_some_and(|index| bindings.binds(&[field, index]))
        }
    }
}

pub(crate) fn encode_chunk(route: &Route, bytes: &[u8], out: &mut Vec<u8>) {
    put_part(route, DATA, bytes, out);
}

/// Appends one field of the HttpBody, inside the request message.
fn put_part(route: &Route, number: u32, content: &[u8], out: &mut Vec<u8>) {
    if content.is_empty() {
        return;
    }
    let tag = Tag::new(number, WireType::Delimited);
    let Some(Upload { field: Some(field) }) = route.upload else {
        return put_delimited(out, tag, content);
    };
    field.tag.put(out);
    if let Some(end) = field.end {
        put_delimited(out, tag, content);
        return end.put(out);
    }
    // Known beforehand, so that a large chunk need not move; the tags of an HttpBody are one byte long.
    let length = content.len() as u64;
    put_varint(out, 1 + varint_len(length) as u64 + length);
    put_delimited(out, tag, content);
}

/// Content type and place of the data in a response message. Of a field that comes twice, the last one counts.
pub(crate) fn read_response<'w>(route: &Route, wire: &'w [u8]) -> Read<(&'w str, Range<usize>)> {
    let Some(download) = route.download else {
        return Err(WireError::new("the response is no google.api.HttpBody"));
    };
    let mut found = Found {
        content_type: &[],
        data: 0..0,
    };
    let Some(field) = download.field else {
        found.read(wire, 0)?;
        return found.finish();
    };
    let mut reader = Reader::new(wire);
    while let Some((number, wire_type)) = reader.tag()? {
        let before = wire.len() - reader.rest.len();
        match wire_type {
            WireType::Delimited if number == field => {
                let content = reader.delimited()?;
                found.read(content, wire.len() - reader.rest.len() - content.len())?;
            }
            WireType::StartGroup if number == field => found.read(reader.group(number)?, before)?,
            _ => reader.skip(number, wire_type)?,
        }
    }
    found.finish()
}

struct Found<'w> {
    content_type: &'w [u8],
    data: Range<usize>,
}

impl<'w> Found<'w> {
    /// Reads an HttpBody that lies at `base` in the response message.
    fn read(&mut self, body: &'w [u8], base: usize) -> Read<()> {
        let mut reader = Reader::new(body);
        while let Some((number, wire_type)) = reader.tag()? {
            match (number, wire_type) {
                (CONTENT_TYPE, WireType::Delimited) => self.content_type = reader.delimited()?,
                (DATA, WireType::Delimited) => {
                    let data = reader.delimited()?;
                    let end = base + body.len() - reader.rest.len();
                    self.data = end - data.len()..end;
                }
                _ => reader.skip(number, wire_type)?,
            }
        }
        Ok(())
    }

    fn finish(self) -> Read<(&'w str, Range<usize>)> {
        match std::str::from_utf8(self.content_type) {
            Ok(content_type) => Ok((content_type, self.data)),
            Err(_) => Err(WireError::new("the content type is not UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests;
