//! One HTTP request to one message: path variables, then the query, then the body.

use crate::{
    encode::{Encoder, Pin},
    error::{Failure, RequestError, Rule},
    json::Cursor,
    mask, percent,
    plan::{FieldPlan, Kind, MessageId, Types},
    query::{self, Bindings},
    route::{Body, Match},
    scalar, wire, wkt,
};

/// A path that a variable has bound, kept to be compared with what query and body say.
pub(crate) struct Bound<'a> {
    fields: &'a [usize],
    /// Tag and value of the scalar, without the messages around it.
    leaf: Vec<u8>,
}

pub(crate) fn encode(
    found: &Match<'_>,
    query: Option<&str>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if found.route.is_upload() {
        let reason = "the method takes raw bytes, not JSON";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    let bound = encode_path(found, out)?;
    let has_mask = encode_query(found, &bound, query, out)?;
    let types = &found.route.types;
    let input = found.route.method.input;
    let mut pins: Vec<Pin<'_>> = bound
        .iter()
        .map(|bound| Pin {
            fields: bound.fields,
            wire: &bound.leaf,
        })
        .collect();
    pins.sort_by_key(|pin| pin.fields);
    match found.route.body {
        Body::None if body.is_empty() => Ok(()),
        Body::None => {
            let reason = "the method takes no body";
            Err(RequestError::new(Rule::UnexpectedBody, reason))
        }
        Body::Whole => read_body(types, body, out, |encoder| encoder.message(input, &pins)),
        Body::Field(index) => {
            let field = &types.message(input).fields[index];
            pins.retain(|pin| pin.fields[0] == index);
            read_body(types, body, out, |encoder| encoder.field(field, &pins))
                .map_err(|failure| failure.in_field(&field.json_name))?;
            match found.route.mask {
                Some(mask) if !has_mask => {
                    mask::put(types, &types.message(input).fields[mask], field, body, out)
                }
                _ => Ok(()),
            }
        }
    }
}

/// Reads the whole body as one JSON value; an empty one is `{}`.
fn read_body(
    types: &Types,
    body: &[u8],
    out: &mut Vec<u8>,
    read: impl FnOnce(&mut Encoder<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let is_blank = body.iter().all(u8::is_ascii_whitespace);
    let cursor = Cursor::new(if is_blank { b"{}" } else { body })?;
    let mut encoder = Encoder::new(types, cursor, out);
    read(&mut encoder)?;
    encoder.cursor.finish()
}

/// Appends what the path has bound.
pub(crate) fn encode_path<'a>(
    found: &Match<'a>,
    out: &mut Vec<u8>,
) -> Result<Vec<Bound<'a>>, Failure> {
    let types = &found.route.types;
    let input = found.route.method.input;
    let mut bound = Vec::with_capacity(found.route.variables.len());
    for variable in &found.route.variables {
        let raw = found.captured(variable);
        let text = if variable.is_multi {
            percent::decode_except_slash(raw)
        } else {
            percent::decode_all(raw)
        };
        let mut leaf = Vec::new();
        text.and_then(|text| put_leaf(types, input, &variable.fields, &text, &mut leaf))
            .map_err(|reason| {
                let failure = RequestError::new(Rule::InvalidValue, reason);
                failure.in_field(&path_text(types, input, &variable.fields))
            })?;
        put_nested(types, input, &variable.fields, &leaf, out);
        bound.push(Bound {
            fields: &variable.fields,
            leaf,
        });
    }
    Ok(bound)
}

/// Appends the query parameters; returns whether they hold the update mask.
pub(crate) fn encode_query(
    found: &Match<'_>,
    bound: &[Bound<'_>],
    query: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let route = found.route;
    let mut bindings = Bindings::new(&route.types, route.method.input, route.body);
    for bound in bound {
        bindings.add_path(bound.fields);
    }
    query::encode(&mut bindings, query.unwrap_or_default(), out)?;
    Ok(route.mask.is_some_and(|mask| bindings.touches(mask)))
}

/// Appends tag and value of the scalar at the end of `fields`; nothing where the text is the default of a field without presence.
pub(crate) fn put_leaf(
    types: &Types,
    input: MessageId,
    fields: &[usize],
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let Some(field) = chain(types, input, fields).last() else {
        return Ok(());
    };
    let start = out.len();
    // One element of a packed field is written as one element: readers take both forms.
    wire::Tag::new(field.number, field.kind.wire_type()).put(out);
    let is_default = match field.kind {
        Kind::Message(id) => {
            let at = wire::open(out);
            wkt::put_text(types, id, text, out)?;
            wire::close(out, at);
            false
        }
        kind => scalar::put_text(types, kind, text, out)?,
    };
    if is_default && field.label == crate::plan::Label::Implicit {
        out.truncate(start);
    }
    Ok(())
}

/// Appends `leaf` inside the messages that lead to it. Several such pieces of one message merge on the wire.
pub(crate) fn put_nested(
    types: &Types,
    input: MessageId,
    fields: &[usize],
    leaf: &[u8],
    out: &mut Vec<u8>,
) {
    let parents = fields.len().saturating_sub(1);
    let mut ends = Vec::with_capacity(parents);
    for field in chain(types, input, fields).take(parents) {
        field.tag.put(out);
        ends.push(match field.kind {
            Kind::Group(_) => Err(field.number << 3 | wire::WireType::EndGroup as u32),
            _ => Ok(wire::open(out)),
        });
    }
    out.extend_from_slice(leaf);
    for end in ends.into_iter().rev() {
        match end {
            Ok(at) => wire::close(out, at),
            Err(tag) => wire::put_varint(out, u64::from(tag)),
        }
    }
}

/// The fields that indices lead through.
fn chain<'t>(
    types: &'t Types,
    input: MessageId,
    fields: &[usize],
) -> impl Iterator<Item = &'t FieldPlan> {
    let mut message = Some(input);
    fields.iter().map_while(move |index| {
        let field = &types.message(message?).fields[*index];
        message = field.message();
        Some(field)
    })
}

/// The dotted JSON names of a field path.
pub(crate) fn path_text(types: &Types, input: MessageId, fields: &[usize]) -> String {
    let names: Vec<&str> = chain(types, input, fields)
        .map(|field| &*field.json_name)
        .collect();
    names.join(".")
}

#[cfg(test)]
mod tests;
