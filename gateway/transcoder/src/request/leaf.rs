//! One value as text, on its way into the message: what paths, queries and forms bind.

use descriptors::{FieldPlan, Kind, Label, MessageId, Shape};
use routes::{chain, has_text_form};

use super::go_text;
use crate::encode::Encoder;
use crate::error::{Failure, RequestError, Rule};
use crate::json::Cursor;
use crate::tables::Tables;
use crate::{scalar, wkt};

/// Returns whether a query parameter can carry a value of this kind: also JSON text for JSON types,
/// and an empty message.
pub(super) fn has_parameter_form(types: &Tables, kind: Kind) -> bool {
    let is_json = |id| {
        let shape = types.message(id).shape;
        matches!(
            shape,
            Shape::Struct | Shape::Value | Shape::ListValue | Shape::Empty
        )
    };
    has_text_form(types, kind) || matches!(kind, Kind::Message(id) | Kind::Group(id) if is_json(id))
}

/// Appends tag and value of the field; nothing where the text is the default of a field without
/// presence.
pub(super) fn put_leaf(
    types: &Tables,
    field: &FieldPlan,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let start = out.len();
    // One element of a packed field is written as one element: readers take both forms.
    wire::Tag::new(field.number, field.kind.wire_type()).put(out);
    if let Kind::Group(id) = field.kind {
        put_message(types, id, text, out)?;
        field.close(start, out);
        return Ok(());
    }
    let is_default = put_value(types, field.kind, text, out)?;
    if is_default && field.label == Label::Implicit {
        out.truncate(start);
    }
    Ok(())
}

/// Appends one entry of a map.
pub(super) fn put_entry(
    types: &Tables,
    field: &FieldPlan,
    key: &str,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let entry = field
        .message()
        .map(|id| types.message(id).fields.as_slice());
    let Some([key_field, value_field]) = entry else {
        return Err(invalid("the map's entry type is malformed"));
    };
    field.tag.put(out);
    let at = wire::open(out);
    key_field.tag.put(out);
    scalar::put_text(types, key_field.kind, key, out).map_err(invalid)?;
    value_field.tag.put(out);
    put_value(types, value_field.kind, text, out)?;
    wire::close(out, at);
    Ok(())
}

/// Appends a value without its tag; returns whether it is the default.
fn put_value(types: &Tables, kind: Kind, text: &str, out: &mut Vec<u8>) -> Result<bool, Failure> {
    let options = &types.http;
    let put = match kind {
        Kind::Message(id) => {
            let at = wire::open(out);
            put_message(types, id, text, out)?;
            wire::close(out, at);
            Ok(false)
        }
        Kind::Bool if options.lenient_bools => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(scalar::put_bool(true, out)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(scalar::put_bool(false, out)),
            _ => Err("expected a boolean, such as true, t or 1"),
        },
        Kind::Enum(id) if text == "null" && types.enums[id].is_null => {
            wire::put_varint(out, 0);
            Ok(true)
        }
        Kind::Enum(id) if options.enums_ignore_case => {
            match types.enums[id].number_ignoring_case(text) {
                Some(number) => {
                    wire::put_varint(out, i64::from(number) as u64);
                    Ok(number == 0)
                }
                None => scalar::put_text(types, kind, text, out),
            }
        }
        kind => scalar::put_text(types, kind, text, out),
    };
    put.map_err(invalid)
}

fn put_message(
    types: &Tables,
    id: MessageId,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let plan = types.message(id);
    match plan.shape {
        Shape::Timestamp => wkt::put_timestamp(text, out).map_err(invalid),
        Shape::Duration if types.http.go_texts => go_text::put_duration(text, out).map_err(invalid),
        Shape::Duration => wkt::put_duration(text, out).map_err(invalid),
        Shape::FieldMask if types.http.go_texts && text.contains('_') => {
            go_text::put_field_mask(text, out);
            Ok(())
        }
        Shape::FieldMask => wkt::put_field_mask(text, out).map_err(invalid),
        Shape::Wrapper => {
            let start = out.len();
            plan.fields[0].tag.put(out);
            if put_value(types, plan.fields[0].kind, text, out)? {
                out.truncate(start);
            }
            Ok(())
        }
        Shape::Empty if text.is_empty() => Ok(()),
        Shape::Empty | Shape::Struct | Shape::Value | Shape::ListValue => {
            let mut encoder = Encoder::new(types, Cursor::new(text.as_bytes())?, out);
            let read = encoder.message(id, &[]);
            let read = read.and_then(|()| encoder.cursor.finish());
            read.map_err(|mut failure| {
                // The value is not in the body, so that an offset would mislead.
                failure.offset = None;
                failure.rule = Rule::InvalidValue;
                failure.description.insert_str(0, "JSON text: ");
                failure
            })
        }
        Shape::Object | Shape::Any => Err(invalid("a message can't be written as one parameter")),
    }
}

fn invalid(reason: &'static str) -> Failure {
    RequestError::new(Rule::InvalidValue, reason)
}

/// Appends `leaf` inside the messages that lead to it. Several such pieces of one message merge on
/// the wire.
pub(super) fn put_nested(
    types: &Tables,
    input: MessageId,
    fields: &[usize],
    leaf: &[u8],
    out: &mut Vec<u8>,
) {
    let parents = fields.len().saturating_sub(1);
    let mut ends = Vec::with_capacity(parents);
    for field in chain(types, input, fields).take(parents) {
        ends.push((field, field.open(out)));
    }
    out.extend_from_slice(leaf);
    for (field, at) in ends.into_iter().rev() {
        field.close(at, out);
    }
}
