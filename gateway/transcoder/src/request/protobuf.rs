//! A body in protobuf wire format: checked, and kept from changing what the path has bound.

use descriptors::{FieldPlan, Kind, MessageId};
use routes::Body;
use wire::{MAX_DEPTH, Reader, WireError, WireType};

use super::bindings::{Bindings, Claim, claims_on, settle};
use super::body::may_yield;
use crate::encode::{Pin, copy_around, fields, strip};
use crate::error::{Failure, RequestError, Rule};
use crate::limits::MAX_BODY_VALUES;
use crate::route::Route;
use crate::tables::Tables;

/// Writes bindings and body. A PATCH gets no mask from it: an absent mask means the populated
/// fields (AIP-134), which the upstream sees as well as we do.
pub(super) fn put(
    bindings: &mut Bindings<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let route = bindings.route;
    let types = &*route.types;
    let id = check(route, body)?;
    if may_yield(route) {
        bindings.yield_to(|claims| match route.body {
            Body::Field(field) => {
                let below = settle(claims_on(claims, 0, field), 0);
                mark(types, id, body, 1, below)
            }
            _ => mark(types, id, body, 0, claims),
        })?;
    }
    bindings.write(out);
    put_checked(route, id, &bindings.pins(), body, out)
}

/// Writes the body alone.
pub(super) fn put_value(route: &Route, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
    let id = check(route, body)?;
    put_checked(route, id, &[], body, out)
}

/// Returns the type of the body, which is one of its messages.
fn check(route: &Route, body: &[u8]) -> Result<MessageId, Failure> {
    let (types, input) = (&*route.types, route.method.input);
    let mut checker = Checker {
        types,
        whole: body.len(),
        fields: 0,
    };
    let Body::Field(index) = route.body else {
        return checker.message(input, body, 0, 0).map(|()| input);
    };
    let field = &types.message(input).fields[index];
    let checked = match field.message().filter(|_| field.is_singular()) {
        Some(id) => checker.message(id, body, 0, 0).map(|()| id),
        None => {
            let reason = "a protobuf body can only be a message";
            Err(RequestError::new(Rule::InvalidValue, reason))
        }
    };
    checked.map_err(|failure| failure.in_field(&field.shown_name))
}

fn put_checked(
    route: &Route,
    id: MessageId,
    pins: &[Pin<'_>],
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let types = &*route.types;
    let Body::Field(index) = route.body else {
        return copy_around(types, id, body, pins, out);
    };
    let field = &types.message(route.method.input).fields[index];
    let pins: Vec<Pin<'_>> = strip(pins.iter(), index).collect();
    let at = field.open(out);
    copy_around(types, id, body, &pins, out)
        .map_err(|failure| failure.in_field(&field.shown_name))?;
    field.close(at, out);
    Ok(())
}

/// Looks through a message for what no reader would take.
struct Checker<'t> {
    types: &'t Tables,
    /// Bytes of the body.
    whole: usize,
    /// Fields met so far, known or not.
    fields: usize,
}

// === impl Checker ===

impl Checker<'_> {
    /// `tail` is the number of bytes of the body after `wire`.
    fn message(
        &mut self,
        id: MessageId,
        wire: &[u8],
        tail: usize,
        depth: usize,
    ) -> Result<(), Failure> {
        let plan = self.types.message(id);
        let mut reader = Reader::new(wire);
        loop {
            let at = self.whole - tail - reader.rest.len();
            let syntax = |error: Box<WireError>| malformed(error.description).offset(at);
            if depth == MAX_DEPTH {
                return Err(RequestError::new(Rule::LimitExceeded, wire::TOO_DEEP).offset(at));
            }
            let Some((number, wire_type)) = reader.tag().map_err(syntax)? else {
                return Ok(());
            };
            self.fields += 1;
            if self.fields > MAX_BODY_VALUES {
                let reason = format!("more than {MAX_BODY_VALUES} fields in the body");
                return Err(RequestError::new(Rule::LimitExceeded, reason).offset(at));
            }
            let field = plan.by_number(number).map(|index| &plan.fields[index]);
            match (field.map(|field| field.kind), wire_type) {
                (Some(Kind::String), WireType::Delimited) => {
                    let text = reader.delimited().map_err(syntax)?;
                    let is_checked = field.is_some_and(|field| field.is_utf8_checked);
                    if is_checked && std::str::from_utf8(text).is_err() {
                        let failure = malformed("a string is not UTF-8").offset(at);
                        return Err(named(failure, field));
                    }
                }
                (Some(Kind::Message(inner)), WireType::Delimited) => {
                    let content = reader.delimited().map_err(syntax)?;
                    let tail = tail + reader.rest.len();
                    self.message(inner, content, tail, depth + 1)
                        .map_err(|failure| named(failure, field))?;
                }
                (Some(Kind::Group(inner)), WireType::StartGroup) => {
                    let start = reader.rest;
                    let content = reader.group(number).map_err(syntax)?;
                    let tail = tail + start.len() - content.len();
                    self.message(inner, content, tail, depth + 1)
                        .map_err(|failure| named(failure, field))?;
                }
                _ => reader.skip(number, wire_type).map_err(syntax)?,
            }
        }
    }
}

fn malformed(reason: &'static str) -> Failure {
    RequestError::new(Rule::Protobuf, reason)
}

fn named(failure: Failure, field: Option<&FieldPlan>) -> Failure {
    match field {
        Some(field) => failure.in_field(&field.shown_name),
        None => failure,
    }
}

/// Marks the claims on what a message that has been checked holds. Nests as deep as a claim's path.
fn mark(
    types: &Tables,
    id: MessageId,
    wire: &[u8],
    depth: usize,
    claims: &mut [Claim<'_>],
) -> Result<(), Failure> {
    if claims.is_empty() {
        return Ok(());
    }
    for item in fields(types, id, wire) {
        let item = item.map_err(|error| malformed(error.description))?;
        let Some(index) = item.index else { continue };
        let below = settle(claims_on(claims, depth, index), depth);
        let field = types.message(id).fields.get(index);
        if let Some(inner) = field.and_then(FieldPlan::message) {
            mark(types, inner, item.content, depth + 1, below)?;
        }
    }
    Ok(())
}
