//! `google.api.HttpBody`: raw bytes in and out, never read as JSON.

use std::ops::Range;

use descriptors::MessageId;
use routes::Body;
use wire::{Read, Reader, Tag, WireError, WireType, put_delimited, put_varint, varint_len};

use super::{Bindings, bind};
use crate::error::{Failure, RequestError, Rule};
use crate::route::{Match, Route, Upload};

/// Field numbers of `google/api/httpbody.proto`.
const CONTENT_TYPE: u32 = 1;
const DATA: u32 = 2;

impl Route {
    /// Appends a message that carries only the next bytes of an upload. For a unary method it
    /// continues the message of the head, as protobuf merges what is concatenated, and is called
    /// once.
    pub fn encode_upload_chunk(&self, bytes: &[u8], out: &mut Vec<u8>) {
        encode_chunk(self, bytes, out);
    }

    /// Returns the content type (empty where none is set) and the place of the data inside `wire`,
    /// of an `HttpBody` response.
    ///
    /// # Errors
    /// The bytes are not such a message.
    pub fn http_body_response<'w>(
        &self,
        wire: &'w [u8],
    ) -> Result<(&'w str, std::ops::Range<usize>), WireError> {
        read_response(self, wire).map_err(|error| *error)
    }
}

impl Match<'_> {
    /// Appends the first message of an upload: path variables, query parameters and the content
    /// type of the body. Rules of `buf.validate` are not checked, since the message is not whole
    /// yet.
    ///
    /// # Errors
    /// As [`Match::encode_request`]; also where the route is not an upload.
    pub fn encode_upload_head(
        &self,
        query: Option<&str>,
        content_type: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        encode_head(self, query, content_type, out).map_err(|failure| {
            out.truncate(start);
            *failure
        })
    }
}

fn encode_head(
    found: &Match<'_>,
    query: Option<&str>,
    content_type: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if found.route.upload.is_none() {
        let reason = "the method accepts JSON, not raw bytes";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    let bindings = bind(found, query)?;
    bindings.write(out);
    if !binds_content_type(&bindings) {
        put_part(found.route, CONTENT_TYPE, content_type.as_bytes(), out);
    }
    Ok(())
}

/// Returns whether a variable of the path is the content type, which it may bind like any other
/// field, and then wins over the header.
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

fn encode_chunk(route: &Route, bytes: &[u8], out: &mut Vec<u8>) {
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
    // Known beforehand, so that a large chunk need not move; the tags of an HttpBody are one byte
    // long.
    let length = content.len() as u64;
    put_varint(out, 1 + varint_len(length) as u64 + length);
    put_delimited(out, tag, content);
}

/// Returns the content type and the place of the data in a response message. Of a repeated field,
/// the last one counts.
fn read_response<'w>(route: &Route, wire: &'w [u8]) -> Read<(&'w str, Range<usize>)> {
    let Some(download) = route.download else {
        return Err(WireError::new("the response is not a google.api.HttpBody"));
    };
    let mut found = HttpBodyParts {
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

struct HttpBodyParts<'w> {
    content_type: &'w [u8],
    data: Range<usize>,
}

impl<'w> HttpBodyParts<'w> {
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
