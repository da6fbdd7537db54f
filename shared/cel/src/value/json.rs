//! Messages that are values of their own: times, wrappers, JSON, and what an Any holds.

use std::collections::HashMap;

use cel_engine::ExecutionError;
use cel_engine::common::types::{CelList, CelMap, CelMapKey, CelNull, CelString};
use descriptors::{Kind, MessageId, Shape};
use smallvec::SmallVec;
use wire::{Reader, WireType};

use super::{Boxed, Content, MAX_JSON_DEPTH, Message, View, decode, failed, malformed};

/// Returns a message as the value that it stands for.
pub(super) fn special<'v>(
    view: View<'v>,
    id: MessageId,
    content: Content<'v>,
    is_set: bool,
    depth: usize,
) -> Result<Boxed<'v>, ExecutionError> {
    if depth > MAX_JSON_DEPTH {
        return Err(failed("nested too deeply"));
    }
    view.meter
        .bytes(content.iter().map(|piece| piece.len()).sum())?;
    let plan = view.types.message(id);
    match plan.shape {
        Shape::Timestamp => decode::timestamp(&content),
        Shape::Duration => decode::duration(&content),
        Shape::Wrapper | Shape::Value if !is_set => Ok(Box::new(CelNull)),
        Shape::Wrapper => {
            let kind = plan.fields.first().map_or(Kind::Bool, |field| field.kind);
            match last(&content, 1, kind.wire_type())? {
                Some(raw) => view.scalar(kind, raw),
                None => Ok(decode::default(view.types, kind)),
            }
        }
        Shape::Value => value(view, id, &content, depth),
        Shape::ListValue => list(view, id, &content, depth),
        Shape::Struct => map(view, id, &content, depth),
        Shape::Any if !is_set => Ok(Box::new(CelNull)),
        Shape::Any => any(view, &content, depth),
        Shape::Object | Shape::Empty | Shape::FieldMask => {
            Ok(Box::new(Message::new(view, id, content)))
        }
    }
}

fn any<'v>(
    view: View<'v>,
    content: &Content<'v>,
    depth: usize,
) -> Result<Boxed<'v>, ExecutionError> {
    let url = last(content, 1, WireType::Delimited)?.unwrap_or_default();
    let value = last(content, 2, WireType::Delimited)?.unwrap_or_default();
    let url = str::from_utf8(url).map_err(|_| failed("text is not UTF-8"))?;
    let name = url.rsplit('/').next().unwrap_or_default();
    match view.types.by_name.get(name) {
        Some(id) => special(view, *id, SmallVec::from_elem(value, 1), true, depth + 1),
        None => Err(failed("the type of an Any is not known")),
    }
}

fn value<'v>(
    view: View<'v>,
    id: MessageId,
    content: &Content<'v>,
    depth: usize,
) -> Result<Boxed<'v>, ExecutionError> {
    // The last member of the oneof counts; two of a message merge.
    let mut found: Option<(u32, Content<'v>)> = None;
    each(content, |number, raw| match &mut found {
        Some((own, pieces)) if *own == number && number >= 5 => pieces.push(raw),
        _ => found = Some((number, SmallVec::from_elem(raw, 1))),
    })?;
    let Some((number, pieces)) = found else {
        return Ok(Box::new(CelNull));
    };
    let fields = &view.types.message(id).fields;
    let kind = fields.iter().find(|field| field.number == number);
    match (number, kind.map(|field| field.kind)) {
        (5 | 6, Some(Kind::Message(inner))) => special(view, inner, pieces, true, depth + 1),
        (2..=4, Some(kind)) => view.scalar(kind, pieces.last().copied().unwrap_or_default()),
        _ => Ok(Box::new(CelNull)),
    }
}

fn list<'v>(
    view: View<'v>,
    id: MessageId,
    content: &Content<'v>,
    depth: usize,
) -> Result<Boxed<'v>, ExecutionError> {
    let Some(Kind::Message(inner)) = view
        .types
        .message(id)
        .fields
        .first()
        .map(|field| field.kind)
    else {
        return Err(failed("not a list"));
    };
    let mut raws = Vec::new();
    each(content, |_, raw| raws.push(raw))?;
    view.meter.spend(raws.len() as u64)?;
    let items = raws.into_iter();
    let items = items.map(|raw| special(view, inner, SmallVec::from_elem(raw, 1), true, depth + 1));
    Ok(Box::new(CelList::from(
        items.collect::<Result<Vec<_>, _>>()?,
    )))
}

fn map<'v>(
    view: View<'v>,
    id: MessageId,
    content: &Content<'v>,
    depth: usize,
) -> Result<Boxed<'v>, ExecutionError> {
    let types = view.types;
    let entry = types
        .message(id)
        .fields
        .first()
        .and_then(|field| field.message());
    let value = entry.and_then(|id| types.message(id).fields.get(1)?.message());
    let Some(inner) = value else {
        return Err(failed("not a map"));
    };
    let mut raws = Vec::new();
    each(content, |_, raw| raws.push(raw))?;
    view.meter.spend(raws.len() as u64)?;
    let mut entries = HashMap::with_capacity(raws.len());
    for raw in raws {
        let entry = SmallVec::from_elem(raw, 1);
        let key = last(&entry, 1, WireType::Delimited)?.unwrap_or_default();
        let key = str::from_utf8(key).map_err(|_| failed("text is not UTF-8"))?;
        let value = last(&entry, 2, WireType::Delimited)?.unwrap_or_default();
        let value = special(view, inner, SmallVec::from_elem(value, 1), true, depth + 1)?;
        entries.insert(CelMapKey::String(CelString::from(key)), value);
    }
    Ok(Box::new(CelMap::from(entries)))
}

/// Returns the last occurrence of a field.
fn last<'v>(
    content: &Content<'v>,
    number: u32,
    wire_type: WireType,
) -> Result<Option<&'v [u8]>, ExecutionError> {
    let mut found = None;
    for piece in content {
        let mut reader = Reader::new(piece);
        while let Some((other, found_type)) = reader.tag().map_err(malformed)? {
            let raw = reader.value(other, found_type).map_err(malformed)?;
            if (other, found_type) == (number, wire_type) {
                found = Some(raw);
            }
        }
    }
    Ok(found)
}

fn each<'v>(
    content: &Content<'v>,
    mut take: impl FnMut(u32, &'v [u8]),
) -> Result<(), ExecutionError> {
    for piece in content {
        let mut reader = Reader::new(piece);
        while let Some((number, wire_type)) = reader.tag().map_err(malformed)? {
            take(number, reader.value(number, wire_type).map_err(malformed)?);
        }
    }
    Ok(())
}
