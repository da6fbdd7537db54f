//! The body of a request: JSON or a form, beside what path and query have bound.

use super::bindings::Bindings;
use crate::{
    encode::{Encoder, Pin},
    error::{Failure, RequestError, Rule},
    json::{Cursor, Token},
    limits::MAX_BODY_VALUES,
    mask,
    options::BindingConflict,
    plan::{FieldPlan, MessageId, Shape, Types},
    query,
    route::{Body, Route},
};

/// Writes bindings and JSON body.
pub(super) fn put_json(
    bindings: &mut Bindings<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let route = bindings.route;
    if may_yield(route) {
        let cursor = Cursor::new(if is_blank(body) { b"{}" } else { body })?;
        bindings.yield_to(|fields| sends(route, fields, cursor))?;
    }
    bindings.write(out);
    put_json_value(route, &bindings.pins(), body, out)?;
    let (Body::Field(index), Some(mask)) = (route.body, route.mask) else {
        return Ok(());
    };
    if bindings.touches(mask) {
        return Ok(());
    }
    let fields = &route.types.message(route.method.input).fields;
    mask::put(&route.types, &fields[mask], &fields[index], body, out)
}

/// Writes the JSON body alone.
pub(super) fn put_json_value(
    route: &Route,
    pins: &[Pin<'_>],
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let (types, input) = (&*route.types, route.method.input);
    match route.body {
        Body::None => Ok(()),
        Body::Whole => read(types, body, out, |encoder| encoder.message(input, pins)),
        Body::Field(index) => {
            let field = &types.message(input).fields[index];
            if is_blank(body) && !takes_object(types, field) {
                return Ok(());
            }
            // Pins are sorted by field: those of the body stand together.
            let start = pins.partition_point(|pin| pin.fields < &[index][..]);
            let length = pins[start..].partition_point(|pin| pin.fields.first() == Some(&index));
            let pins = &pins[start..start + length];
            read(types, body, out, |encoder| encoder.field(field, pins))
                .map_err(|failure| failure.in_field(&field.json_name))
        }
    }
}

/// Reads the whole body as one JSON value; an empty one is `{}`.
fn read(
    types: &Types,
    body: &[u8],
    out: &mut Vec<u8>,
    read: impl FnOnce(&mut Encoder<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    check_values(body)?;
    let mut encoder = Encoder {
        types,
        cursor: Cursor::new(if is_blank(body) { b"{}" } else { body })?,
        out,
    };
    read(&mut encoder)?;
    encoder.cursor.finish()
}

fn is_blank(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
}

/// Whether `{}` is a value of the field.
fn takes_object(types: &Types, field: &FieldPlan) -> bool {
    let shape = |id: MessageId| types.message(id).shape;
    match field.message().map(shape) {
        Some(Shape::Object) => field.is_singular() || field.label == crate::plan::Label::Map,
        Some(Shape::Empty | Shape::Any | Shape::Struct | Shape::Value) => field.is_singular(),
        _ => false,
    }
}

/// Refuses a body of too many values. One takes two bytes at least, so that smaller bodies need not be looked at.
fn check_values(body: &[u8]) -> Result<(), Failure> {
    if body.len() / 2 < MAX_BODY_VALUES {
        return Ok(());
    }
    let mut values = 1;
    let mut rest = 0..body.len();
    while let Some(at) = rest.next() {
        match body.get(at) {
            Some(b'"') => {
                let string = body.get(at + 1..).unwrap_or_default();
                rest.start = at + 1 + end_of_string(string);
            }
            Some(b',' | b'[' | b'{') => values += 1,
            _ => {}
        }
        if values > MAX_BODY_VALUES {
            let reason = format!("more than {MAX_BODY_VALUES} values in the body");
            return Err(RequestError::new(Rule::LimitExceeded, reason).offset(at));
        }
    }
    Ok(())
}

/// How long a string is, with the quote at its end.
fn end_of_string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(stop) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        match text.get(at + stop) {
            Some(b'\\') => at += stop + 2,
            _ => return at + stop + 1,
        }
    }
    text.len()
}

/// Whether a body can take a binding's place at all.
pub(super) fn may_yield(route: &Route) -> bool {
    let options = &route.types.options.http;
    options.binding_conflict == BindingConflict::BodyWins || options.query_beside_body
}

/// Whether the JSON body gives the field a value, or a message on the way to it one that is no object of fields.
fn sends(route: &Route, fields: &[usize], mut cursor: Cursor<'_>) -> Result<bool, Failure> {
    let types = &*route.types;
    let (mut id, mut fields) = match (route.body, fields) {
        (Body::Whole, _) => (route.method.input, fields),
        (Body::Field(body), [first, rest @ ..]) if body == *first => {
            let field = &types.message(route.method.input).fields[body];
            let Some(id) = field.message() else {
                return Ok(cursor.peek()? != Token::Null);
            };
            (id, rest)
        }
        _ => return Ok(false),
    };
    while let [first, rest @ ..] = fields {
        match cursor.peek()? {
            Token::Null => return Ok(false),
            Token::Object => {}
            _ => return Ok(true),
        }
        if !seek(types, id, *first, &mut cursor)? {
            return Ok(false);
        }
        fields = rest;
        match types
            .message(id)
            .fields
            .get(*first)
            .and_then(FieldPlan::message)
        {
            Some(inner) => id = inner,
            None => break,
        }
    }
    Ok(cursor.peek()? != Token::Null)
}

/// Moves to the value of a field in an object; returns whether it is there.
fn seek(
    types: &Types,
    id: MessageId,
    field: usize,
    cursor: &mut Cursor<'_>,
) -> Result<bool, Failure> {
    cursor.begin_object()?;
    let mut is_first = true;
    while let Some(key) = cursor.next_key(is_first)? {
        is_first = false;
        if types.message(id).by_name(&key, usize::MAX) == Some(field) {
            return Ok(true);
        }
        cursor.skip_value()?;
    }
    Ok(false)
}

/// Writes bindings and a form, by the rules of a query.
pub(super) fn put_form(
    bindings: &mut Bindings<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let form = std::str::from_utf8(body).map_err(|error| {
        RequestError::new(Rule::InvalidValue, "the form is not UTF-8").offset(error.valid_up_to())
    })?;
    match bindings.route.body {
        Body::Field(index) => {
            let (types, input) = (&bindings.route.types, bindings.route.method.input);
            let field = &types.message(input).fields[index];
            if field.message().is_none() || !field.is_singular() {
                let reason = "a form can only be a message";
                let failure = RequestError::new(Rule::InvalidValue, reason);
                return Err(failure.in_field(&field.json_name));
            }
            query::bind_form(bindings, Some(index), form)?;
        }
        _ => query::bind_form(bindings, None, form)?,
    }
    bindings.write(out);
    Ok(())
}
