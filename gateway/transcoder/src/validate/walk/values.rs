//! Values of fields, put together from all their pieces.

use std::ops::Range;

use super::super::{
    table::Form,
    value::{self, Value, raw_value},
};
use super::Walk;
use crate::{
    plan::Kind,
    wire::{Read, Reader, WireType},
};

// === impl Walk ===

impl<'a> Walk<'a> {
    /// The value that the pieces amount to.
    pub(super) fn value(&self, kind: Kind, form: Form, range: Range<usize>) -> Read<Value<'a>> {
        match form {
            Form::Scalar => self.scalar(kind, range),
            Form::Opaque => Ok(Value::Nothing),
            Form::Wrapper(kind) => Ok(self.inner(1, kind, range)?.unwrap_or(value::default(kind))),
            Form::TypeUrl => {
                let url = self.inner(1, Kind::String, range)?;
                Ok(url.unwrap_or(Value::Text(&[])))
            }
            Form::Time => {
                let part = |number, kind| -> Read<i128> {
                    match self.inner(number, kind, range.clone())? {
                        Some(Value::Int(value)) => Ok(value),
                        _ => Ok(0),
                    }
                };
                let nanos = part(2, Kind::Int32)?;
                Ok(Value::Int(part(1, Kind::Int64)? * 1_000_000_000 + nanos))
            }
            Form::Paths => self.paths(range),
        }
    }

    /// A scalar: of several, the last one counts.
    pub(super) fn scalar(&self, kind: Kind, range: Range<usize>) -> Read<Value<'a>> {
        match self.pieces.get(range).unwrap_or_default() {
            [.., last] => value::decode(kind, last.raw),
            [] => Ok(value::default(kind)),
        }
    }

    /// A scalar field of a message that came in several pieces.
    fn inner(&self, number: u32, kind: Kind, range: Range<usize>) -> Read<Option<Value<'a>>> {
        let mut found = None;
        for piece in self.pieces.get(range).unwrap_or_default() {
            found = last(piece.raw, number, kind.wire_type())?.or(found);
        }
        found.map(|raw| value::decode(kind, raw)).transpose()
    }

    fn paths(&self, range: Range<usize>) -> Read<Value<'a>> {
        let mut paths = Vec::new();
        for piece in self.pieces.get(range).unwrap_or_default() {
            let mut reader = Reader::new(piece.raw);
            while let Some((number, wire_type)) = reader.tag()? {
                let raw = raw_value(&mut reader, number, wire_type)?;
                if (number, wire_type) == (1, WireType::Delimited) {
                    paths.extend(str::from_utf8(raw));
                }
            }
        }
        Ok(Value::Paths(paths))
    }
}

/// The last value of a field in one stretch of a message's content.
pub(super) fn last(content: &[u8], number: u32, wire_type: WireType) -> Read<Option<&[u8]>> {
    let mut reader = Reader::new(content);
    let mut found = None;
    while let Some((other, found_type)) = reader.tag()? {
        let raw = raw_value(&mut reader, other, found_type)?;
        if (other, found_type) == (number, wire_type) {
            found = Some(raw);
        }
    }
    Ok(found)
}
