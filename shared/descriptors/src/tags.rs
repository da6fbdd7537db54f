//! From a tag to the field that it begins.

use wire::{Read, Reader, WireType};

use crate::kind::Label;
use crate::plan::{FieldPlan, MessagePlan};

/// The next field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTag {
    /// A field by its index, and whether its value is a packed run.
    Field(usize, bool),
    /// An unknown field, whose value was skipped.
    Unknown,
    /// The message ends.
    End,
}

/// Returns the known field of a tag; `None` where the number or the wire type is not the schema's,
/// which makes a field unknown.
pub fn find(plan: &MessagePlan, number: u32, wire_type: WireType, guess: usize) -> Option<usize> {
    let index = match plan.fields.get(guess) {
        Some(field) if field.number == number => guess,
        _ => plan.by_number(number)?,
    };
    accepts(&plan.fields[index], wire_type).then_some(index)
}

fn accepts(field: &FieldPlan, wire_type: WireType) -> bool {
    let is_run = matches!(field.label, Label::Repeated | Label::Packed)
        && wire_type == WireType::Delimited
        && field.kind.is_packable();
    wire_type == field.kind.wire_type() || is_run
}

/// Reads a tag, and passes over the value of an unknown one. The field at `guess` is tried first.
#[inline]
pub fn next_field(plan: &MessagePlan, guess: usize, reader: &mut Reader<'_>) -> Read<NextTag> {
    if let Some(field) = plan.fields.get(guess)
        && let Some(rest) = field.tag.strip(reader.rest)
    {
        reader.rest = rest;
        return Ok(NextTag::Field(guess, field.label == Label::Packed));
    }
    let Some((number, wire_type)) = reader.tag()? else {
        return Ok(NextTag::End);
    };
    match find(plan, number, wire_type, usize::MAX) {
        Some(index) => {
            let is_run = wire_type != plan.fields[index].kind.wire_type();
            Ok(NextTag::Field(index, is_run))
        }
        None => reader.skip(number, wire_type).map(|()| NextTag::Unknown),
    }
}

/// Reads the next tag if it is one more of `field`; returns whether its value is a packed run.
#[inline]
pub fn follows(field: &FieldPlan, reader: &mut Reader<'_>) -> Option<bool> {
    if let Some(rest) = field.tag.strip(reader.rest) {
        reader.rest = rest;
        return Some(field.label == Label::Packed);
    }
    if !field.tag.resembles(reader.rest) {
        return None;
    }
    let mut ahead = *reader;
    // A malformed tag is left to who reads it next.
    let (number, wire_type) = ahead.tag().ok()??;
    if number != field.number || !accepts(field, wire_type) {
        return None;
    }
    *reader = ahead;
    Some(wire_type != field.kind.wire_type())
}
