//! The one value that a message stands for in rules: a wrapper's, a moment, the type of an Any.

use descriptors::Kind;
use wire::{Read, Reader, WireType};

use crate::rules::table::Form;
use crate::rules::value::{self, Value};

/// Returns the value of a message whose content is the concatenation of all pieces.
pub(crate) fn composed<'a>(
    form: Form,
    pieces: impl Iterator<Item = &'a [u8]> + Clone,
) -> Read<Value<'a>> {
    match form {
        Form::Scalar | Form::Opaque => Ok(Value::Nothing),
        Form::Wrapper(kind) => Ok(inner(1, kind, pieces)?.unwrap_or(value::default(kind))),
        Form::TypeUrl => {
            let url = inner(1, Kind::String, pieces)?;
            Ok(url.unwrap_or(Value::Text(&[])))
        }
        Form::Time => {
            let (mut seconds, mut nanos) = (0, 0);
            for piece in pieces {
                read_time(piece, &mut seconds, &mut nanos)?;
            }
            Ok(Value::Int(
                i128::from(seconds) * 1_000_000_000 + i128::from(nanos),
            ))
        }
        Form::Paths => paths(pieces),
    }
}

/// Returns the last value of a field in one stretch of a message's content.
pub(crate) fn last(content: &[u8], number: u32, wire_type: WireType) -> Read<Option<&[u8]>> {
    let mut reader = Reader::new(content);
    let mut found = None;
    while let Some((other, found_type)) = reader.tag()? {
        let raw = reader.value(other, found_type)?;
        if (other, found_type) == (number, wire_type) {
            found = Some(raw);
        }
    }
    Ok(found)
}

/// Returns a scalar field of a message that came in several pieces.
fn inner<'a>(
    number: u32,
    kind: Kind,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Read<Option<Value<'a>>> {
    let mut found = None;
    for piece in pieces {
        found = last(piece, number, kind.wire_type())?.or(found);
    }
    found.map(|raw| value::decode(kind, raw)).transpose()
}

/// Fields of a Timestamp or a Duration.
fn read_time(content: &[u8], seconds: &mut i64, nanos: &mut i32) -> Read<()> {
    let mut reader = Reader::new(content);
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, WireType::Varint) => *seconds = reader.varint()? as i64,
            (2, WireType::Varint) => *nanos = reader.varint()? as i32,
            _ => reader.skip(number, wire_type)?,
        }
    }
    Ok(())
}

fn paths<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read<Value<'a>> {
    let mut paths = Vec::new();
    for piece in pieces {
        let mut reader = Reader::new(piece);
        while let Some((number, wire_type)) = reader.tag()? {
            let raw = reader.value(number, wire_type)?;
            if (number, wire_type) == (1, WireType::Delimited) {
                paths.extend(str::from_utf8(raw));
            }
        }
    }
    Ok(Value::Paths(paths))
}
