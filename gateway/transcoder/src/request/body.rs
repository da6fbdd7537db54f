//! The body of a request: JSON or a form, beside what path and query have bound.

use descriptors::{FieldPlan, Label, MessageId, Shape};
use routes::Body;

use super::bindings::{Bindings, Claim, claims_on, settle};
use super::{mask, query};
use crate::encode::{Encoder, Pin, read_whole};
use crate::error::{Failure, RequestError, Rule};
use crate::json::{Cursor, Token};
use crate::limits::MAX_BODY_VALUES;
use crate::options::BindingConflict;
use crate::route::Route;
use crate::tables::Tables;

type Done = Result<(), Failure>;

/// Writes bindings and JSON body.
pub(super) fn put_json(
    bindings: &mut Bindings<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let route = bindings.route;
    // A body that is not UTF-8 is left to the encoder, which finds out where.
    if may_yield(route)
        && let Ok(cursor) = Cursor::new(if is_blank(body) { b"{}" } else { body })
    {
        bindings.yield_to(|claims| mark_body(route, cursor, claims))?;
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
                .map_err(|failure| failure.in_field(&field.shown_name))
        }
    }
}

/// Reads the whole body as one JSON value; an empty one is `{}`.
fn read(
    types: &Tables,
    body: &[u8],
    out: &mut Vec<u8>,
    read: impl FnOnce(&mut Encoder<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    check_values(body)?;
    let text = if is_blank(body) { b"{}" } else { body };
    read_whole(types, text, out, read)
}

fn is_blank(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
}

/// Returns whether `{}` is a value of the field.
fn takes_object(types: &Tables, field: &FieldPlan) -> bool {
    let shape = |id: MessageId| types.message(id).shape;
    match field.message().map(shape) {
        Some(Shape::Object) => field.is_singular() || field.label == Label::Map,
        Some(Shape::Empty | Shape::Any | Shape::Struct | Shape::Value) => field.is_singular(),
        _ => false,
    }
}

/// Rejects a body of too many values. A value has two bytes at least, so that smaller bodies pass
/// unseen.
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

/// Returns whether a body can take a binding's place at all.
pub(super) fn may_yield(route: &Route) -> bool {
    let options = &route.types.http;
    options.binding_conflict == BindingConflict::BodyWins || options.query_beside_body
}

/// Marks the claims on what the JSON body sets.
fn mark_body(route: &Route, mut cursor: Cursor<'_>, claims: &mut [Claim<'_>]) -> Done {
    let (types, input) = (&*route.types, route.method.input);
    match route.body {
        Body::None => Ok(()),
        Body::Whole if cursor.peek()? == Token::Object => {
            mark_object(types, input, &mut cursor, 0, claims)
        }
        // The encoder reports the fault.
        Body::Whole => Ok(()),
        Body::Field(index) => {
            let claims = claims_on(claims, 0, index);
            mark_value(types, (input, index), &mut cursor, 0, claims)
        }
    }
}

/// Nests as deep as the cursor lets JSON nest.
fn mark_object(
    types: &Tables,
    id: MessageId,
    cursor: &mut Cursor<'_>,
    depth: usize,
    claims: &mut [Claim<'_>],
) -> Done {
    cursor.begin_object()?;
    let mut is_first = true;
    while let Some(key) = cursor.next_key(is_first)? {
        is_first = false;
        match types.message(id).by_name(&key) {
            Some(index) => {
                let claims = claims_on(claims, depth, index);
                mark_value(types, (id, index), cursor, depth, claims)?;
            }
            None => cursor.skip_value()?,
        }
    }
    Ok(())
}

/// Marks a value of a field: `null` sets nothing, an object of fields its members, anything
/// else all there is.
fn mark_value(
    types: &Tables,
    (id, index): (MessageId, usize),
    cursor: &mut Cursor<'_>,
    depth: usize,
    claims: &mut [Claim<'_>],
) -> Done {
    let token = cursor.peek()?;
    if claims.is_empty() || token == Token::Null {
        return cursor.skip_value();
    }
    let below = settle(claims, depth);
    let field = types.message(id).fields.get(index);
    match field.and_then(FieldPlan::message) {
        Some(inner) if token == Token::Object && !below.is_empty() => {
            mark_object(types, inner, cursor, depth + 1, below)
        }
        _ => {
            for claim in below {
                claim.is_sent = true;
            }
            cursor.skip_value()
        }
    }
}

/// Writes bindings and a form, by the rules of a query. A PATCH gets no mask from it: a form can't
/// tell what is to be cleared.
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
                return Err(failure.in_field(&field.shown_name));
            }
            query::bind_form(bindings, Some(index), form)?;
        }
        _ => query::bind_form(bindings, None, form)?,
    }
    bindings.write(out);
    Ok(())
}
