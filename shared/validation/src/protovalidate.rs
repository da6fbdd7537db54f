//! Violations as protovalidate writes them: `buf.validate.Violations`, which its libraries attach
//! to errors.

use descriptors::{FieldPlan, Kind, Label, MessageId, Types};
use wire::{Tag, WireType, close, open, put_delimited};

use crate::violations::{Violation, Violations};

/// The type URL of the message that [`encode`] makes.
pub(crate) const TYPE_URL: &str = "type.googleapis.com/buf.validate.Violations";

/// One element of a path: a field, and what is between the brackets behind it.
struct Element<'t> {
    /// `None` for a oneof, which has no number.
    field: Option<&'t FieldPlan>,
    name: &'t str,
    subscript: Option<&'t str>,
}

/// Encodes `buf.validate.Violations` about a message of type `input`. Each has the path of its
/// field by the names of the proto file, the path and the id of the rule, and the text.
pub(crate) fn encode(types: &Types, input: MessageId, found: &Violations) -> Vec<u8> {
    let mut out = Vec::new();
    for violation in &found.listed {
        nested(1, &mut out, |out| put(types, input, violation, out));
    }
    out
}

fn put(types: &Types, input: MessageId, violation: &Violation, out: &mut Vec<u8>) {
    put_text(2, &violation.rule, out);
    put_text(3, &violation.message, out);
    if violation.origin.is_of_key {
        put_number(4, 1, out);
    }
    let elements = elements(types, input, &violation.path);
    if !elements.is_empty() {
        nested(5, out, |out| {
            for element in &elements {
                nested(1, out, |out| put_element(types, element, out));
            }
        });
    }
    if !violation.origin.rule.is_empty() {
        nested(6, out, |out| out.extend_from_slice(&violation.origin.rule));
    }
}

/// Encodes the `buf.validate.FieldPath` of a rule: names of fields from `buf.validate.FieldRules`
/// on, and the position in a list. It is empty where the set has no such fields.
pub(crate) fn rule_path(types: &Types, steps: &[(&str, Option<usize>)]) -> Box<[u8]> {
    let mut out = Vec::new();
    let mut message = types.by_name.get("buf.validate.FieldRules").copied();
    for (name, index) in steps {
        let fields = message.map_or(&[][..], |id| &types.message(id).fields);
        let Some(field) = fields.iter().find(|field| *field.name == **name) else {
            return Box::default();
        };
        let subscript = index.map(|index| index.to_string());
        let element = Element {
            field: Some(field),
            name: &field.name,
            subscript: subscript.as_deref(),
        };
        nested(1, &mut out, |out| put_element(types, &element, out));
        message = field.message();
    }
    out.into()
}

/// Splits a path as violations have it, such as `lines[3].price.units` or `labels["k"]`. JSON names
/// may hold any character, so each is found by the type it belongs to; what none has ends the path.
fn elements<'t>(types: &'t Types, input: MessageId, path: &'t str) -> Vec<Element<'t>> {
    let mut found = Vec::new();
    let mut rest = path;
    let mut message = Some(input);
    while !rest.is_empty() {
        let fields = message.map_or(&[][..], |id| &types.message(id).fields);
        let field = fields.iter().find(|field| begins(rest, &field.shown_name));
        let length = field.map_or_else(
            || rest.find(['.', '[']).unwrap_or(rest.len()),
            |field| field.shown_name.len(),
        );
        let (name, after) = rest.split_at(length);
        let (subscript, after) = split_subscript(after);
        found.push(Element {
            field,
            name: field.map_or(name, |field| &field.name),
            subscript,
        });
        message = field.and_then(|field| inner(types, field));
        rest = after.strip_prefix('.').unwrap_or_default();
    }
    found
}

fn begins(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The message that a path leads into; of a map, that of its values.
fn inner(types: &Types, field: &FieldPlan) -> Option<MessageId> {
    let id = field.message()?;
    match field.label {
        Label::Map => types.message(id).fields.get(1)?.message(),
        _ => Some(id),
    }
}

/// Splits `["k"].x` into `"k"` and `.x`. A quoted key may hold brackets.
fn split_subscript(text: &str) -> (Option<&str>, &str) {
    let Some(inner) = text.strip_prefix('[') else {
        return (None, text);
    };
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ']' if !is_quoted => return (inner.get(..at), inner.get(at + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, "")
}

fn put_element(types: &Types, element: &Element<'_>, out: &mut Vec<u8>) {
    if let Some(field) = element.field {
        put_number(1, u64::from(field.number), out);
    }
    put_text(2, element.name, out);
    let Some(field) = element.field else {
        return;
    };
    let entry = match (field.label, field.message()) {
        (Label::Map, Some(id)) => types.message(id).fields.get(..2),
        _ => None,
    };
    put_kind(3, field.kind, out);
    if let (Some(_), Some([key, value])) = (element.subscript, entry) {
        put_kind(4, key.kind, out);
        put_kind(5, value.kind, out);
    }
    if let Some(subscript) = element.subscript {
        put_subscript(entry.and_then(<[_]>::first), subscript, out);
    }
}

/// The oneof `subscript`: an index, or a key by its type.
fn put_subscript(key: Option<&FieldPlan>, text: &str, out: &mut Vec<u8>) {
    match key.map(|key| key.kind) {
        None => put_number(6, text.parse().unwrap_or_default(), out),
        Some(Kind::String) => put_text(10, &unquoted(text), out),
        Some(Kind::Bool) => put_number(7, u64::from(text == "true"), out),
        Some(Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64) => {
            put_number(9, text.parse().unwrap_or_default(), out);
        }
        Some(_) => {
            let number: i64 = text.parse().unwrap_or_default();
            put_number(8, number.cast_unsigned(), out);
        }
    }
}

/// Undoes the escapes of Rust's `{:?}`, in which paths have their keys.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.trim_matches('"').chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('u') => {
                let digits: String = characters.by_ref().take_while(|c| *c != '}').collect();
                let code = u32::from_str_radix(digits.trim_start_matches('{'), 16);
                out.extend(code.ok().and_then(char::from_u32));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    Tag::new(number, WireType::Delimited).put(out);
    let at = open(out);
    write(out);
    close(out, at);
}

fn put_text(number: u32, text: &str, out: &mut Vec<u8>) {
    put_delimited(out, Tag::new(number, WireType::Delimited), text.as_bytes());
}

/// Writes a value of `google.protobuf.FieldDescriptorProto.Type`.
fn put_kind(number: u32, kind: Kind, out: &mut Vec<u8>) {
    put_number(number, u64::from(kind.number().unsigned_abs()), out);
}

fn put_number(number: u32, value: u64, out: &mut Vec<u8>) {
    Tag::new(number, WireType::Varint).put_varint(value, out);
}

#[cfg(test)]
mod tests;
