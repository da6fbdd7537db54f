//! Whether bytes are a message at all: what a decoder would reject, found without building
//! anything.

use descriptors::{FieldPlan, Kind, MessageId, Types};
use wire::{MAX_DEPTH, Read, Reader, TOO_DEEP, WireError};

use crate::pieces::{Elements, Piece, fit};
use crate::rules::value;

const NOT_UTF8: &str = "text is not UTF-8";
const WRONG_WIRE_TYPE: &str = "the wire type is not the field's";

/// Reads a message and all inside of it. Known fields in a foreign wire type are rejected: other
/// decoders may take them for unknown ones, generated Rust code doesn't.
pub(crate) fn check(types: &Types, id: MessageId, content: &[u8], depth: usize) -> Read<()> {
    if depth >= MAX_DEPTH {
        return Err(WireError::new(TOO_DEEP));
    }
    let plan = types.message(id);
    let mut reader = Reader::new(content);
    while let Some((number, wire_type)) = reader.tag()? {
        let field = plan.by_number(number).and_then(|at| plan.fields.get(at));
        let Some(field) = field else {
            reader.skip(number, wire_type)?;
            continue;
        };
        let in_field = |error: Box<WireError>| error.in_field(&field.shown_name);
        let Some(is_packed) = fit(field, wire_type) else {
            return Err(in_field(WireError::new(WRONG_WIRE_TYPE)));
        };
        let raw = reader.value(number, wire_type).map_err(in_field)?;
        check_value(types, field, raw, is_packed, depth).map_err(in_field)?;
    }
    Ok(())
}

fn check_value(
    types: &Types,
    field: &FieldPlan,
    raw: &[u8],
    is_packed: bool,
    depth: usize,
) -> Read<()> {
    match field.kind {
        Kind::Message(id) | Kind::Group(id) => check(types, id, raw, depth + 1),
        Kind::String => str::from_utf8(raw)
            .map(drop)
            .map_err(|_| WireError::new(NOT_UTF8)),
        kind if is_packed => {
            let run = Piece {
                field: 0,
                is_packed,
                raw,
            };
            Elements::new(run, kind).try_for_each(|element| value::decode(kind, element?).map(drop))
        }
        _ => Ok(()),
    }
}
