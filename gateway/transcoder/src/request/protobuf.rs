//! A body in protobuf wire format: checked, and kept from changing what the path has bound.

use super::{
    bindings::{Bindings, Claim, claims_on, settle},
    body::may_yield,
};
use crate::{
    encode::Pin,
    error::{Failure, RequestError, Rule, WireError},
    limits::{MAX_BODY_VALUES, MAX_DEPTH},
    plan::{FieldPlan, Kind, Label, MessageId, Types},
    route::{Body, Route},
    wire::{self, Read, Reader, WireType},
};

/// Writes bindings and body. A PATCH gets no mask from it: an absent mask means the populated fields (AIP-134), which the upstream
/// sees as well as we do.
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

/// The type of the body, which is one of its messages.
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
    checked.map_err(|failure| failure.in_field(&field.json_name))
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
        return copy(types, id, body, pins, out);
    };
    let field = &types.message(route.method.input).fields[index];
    let pins: Vec<Pin<'_>> = strip(pins.iter(), index).collect();
    let at = field.open(out);
    copy(types, id, body, &pins, out).map_err(|failure| failure.in_field(&field.json_name))?;
    field.close(at, out);
    Ok(())
}

/// Refuses a message without a field that the path has set, where its absence is a value of its own.
pub(crate) fn check_defaults(
    types: &Types,
    id: MessageId,
    wire: &[u8],
    pins: &[Pin<'_>],
) -> Result<(), Failure> {
    for pin in pins.iter().filter(|p| !p.is_silent && !p.wire.is_empty()) {
        let [index] = pin.fields else { continue };
        let field = &types.message(id).fields[*index];
        let is_there = |item: Read<Item<'_>>| item.is_ok_and(|item| item.index == Some(*index));
        if field.label == Label::Implicit && !fields(types, id, wire).any(is_there) {
            let failure = RequestError::new(Rule::PathConflict, "the path says otherwise");
            return Err(failure.in_field(&field.json_name));
        }
    }
    Ok(())
}

/// The pins below `field`.
fn strip<'p, 'a: 'p>(
    pins: impl Iterator<Item = &'p Pin<'a>>,
    field: usize,
) -> impl Iterator<Item = Pin<'a>> {
    pins.filter_map(move |pin| match pin.fields {
        [first, rest @ ..] if *first == field => Some(Pin {
            fields: rest,
            ..*pin
        }),
        _ => None,
    })
}

/// Looks through a message for what no reader would take.
struct Checker<'t> {
    types: &'t Types,
    /// Bytes of the body.
    whole: usize,
    /// Fields met so far, known or not.
    fields: usize,
}

// === impl Checker ===

impl Checker<'_> {
    /// `tail` is how many bytes of the body lie behind `wire`.
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
        Some(field) => failure.in_field(&field.json_name),
        None => failure,
    }
}

/// The fields of a message one by one.
struct Fields<'t, 'w> {
    types: &'t Types,
    id: MessageId,
    reader: Reader<'w>,
}

/// One occurrence of a field.
struct Item<'w> {
    /// In the plan, if the field is known.
    index: Option<usize>,
    /// Tag and value.
    raw: &'w [u8],
    wire_type: WireType,
    /// The content of a message or group, the bytes of other delimited values.
    content: &'w [u8],
}

impl<'w> Iterator for Fields<'_, 'w> {
    type Item = Read<Item<'w>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.reader.rest;
        let (number, wire_type) = match self.reader.tag() {
            Ok(tag) => tag?,
            Err(error) => return Some(Err(error)),
        };
        let content = self.reader.value(number, wire_type);
        Some(content.map(|content| Item {
            index: self.types.message(self.id).by_number(number),
            raw: &start[..start.len() - self.reader.rest.len()],
            wire_type,
            content,
        }))
    }
}

fn fields<'t, 'w>(types: &'t Types, id: MessageId, wire: &'w [u8]) -> Fields<'t, 'w> {
    Fields {
        types,
        id,
        reader: Reader::new(wire),
    }
}

/// Marks the claims on what a message that has been checked holds. Nests as deep as a claim's path.
fn mark(
    types: &Types,
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

/// Appends a message that has been checked, without the fields that are pinned; a different value of one is a conflict.
pub(crate) fn copy(
    types: &Types,
    id: MessageId,
    wire: &[u8],
    pins: &[Pin<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if pins.is_empty() {
        out.extend_from_slice(wire);
        return Ok(());
    }
    let plan = types.message(id);
    for item in fields(types, id, wire) {
        let item = item.map_err(|error| malformed(error.description))?;
        let Some((index, field)) = item.index.map(|index| (index, &plan.fields[index])) else {
            out.extend_from_slice(item.raw);
            continue;
        };
        copy_field(types, plan.fields.as_slice(), (index, &item), pins, out)
            .map_err(|failure| failure.in_field(&field.json_name))?;
    }
    Ok(())
}

fn copy_field(
    types: &Types,
    siblings: &[FieldPlan],
    (index, item): (usize, &Item<'_>),
    pins: &[Pin<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let field = &siblings[index];
    let inner: Vec<Pin<'_>> = strip(pins.iter(), index).collect();
    let rival = pins.iter().find(|pin| {
        let other = pin.fields.first().and_then(|first| siblings.get(*first));
        field.oneof.is_some() && other.is_some_and(|other| other.oneof == field.oneof)
    });
    match (inner.as_slice(), rival) {
        ([], Some(rival)) if rival.is_silent => Ok(()),
        ([], Some(_)) => Err(RequestError::new(
            Rule::Duplicate,
            "another field of the same oneof is set",
        )),
        ([], None) => {
            out.extend_from_slice(item.raw);
            Ok(())
        }
        ([pin], _) if pin.fields.is_empty() => {
            if pin.is_silent || canonical(field, item) == pin.wire {
                return Ok(());
            }
            Err(RequestError::new(
                Rule::PathConflict,
                "the path says otherwise",
            ))
        }
        (inner, _) => {
            let Some(id) = field.message() else {
                return Ok(());
            };
            let at = field.open(out);
            copy(types, id, item.content, inner, out)?;
            field.close(at, out);
            Ok(())
        }
    }
}

/// A scalar as this crate writes it: minimal varints, and nothing for the default of a field without presence.
fn canonical(field: &FieldPlan, item: &Item<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    field.tag.put(&mut wire);
    let is_default = match item.wire_type {
        WireType::Varint => {
            let value = Reader::new(item.content).varint().unwrap_or_default();
            wire::put_varint(&mut wire, value);
            value == 0
        }
        WireType::Delimited => {
            wire::put_varint(&mut wire, item.content.len() as u64);
            wire.extend_from_slice(item.content);
            item.content.is_empty()
        }
        WireType::StartGroup => {
            wire.extend_from_slice(item.content);
            field.close(0, &mut wire);
            false
        }
        _ => {
            wire.extend_from_slice(item.content);
            item.content.iter().all(|byte| *byte == 0)
        }
    };
    if is_default && field.label == Label::Implicit {
        wire.clear();
    }
    wire
}
