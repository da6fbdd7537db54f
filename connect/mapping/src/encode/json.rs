//! `google.protobuf.Value`, `Struct` and `ListValue`.

use cel::engine::common::types::{CelBool, CelDouble, CelList, CelMap, CelString};
use cel::engine::common::value::Val;
use descriptors::Shape;
use wire::{Tag, WireType, put_delimited};

use super::{Fault, Written, fault, is_null, name_of};
use crate::decimal::exact;
use crate::error::rules;

/// Levels of lists and objects.
const MAX_DEPTH: usize = 32;

/// Appends the content of a message of this shape.
pub(super) fn put(shape: Shape, value: &dyn Val, out: &mut Vec<u8>, depth: usize) -> Written {
    if depth > MAX_DEPTH {
        return Err(fault(rules::OUT_OF_RANGE, value));
    }
    match shape {
        Shape::Struct => {
            let entries = value.downcast_ref::<CelMap<'_>>();
            let entries = entries.ok_or_else(|| fault(rules::TYPE, value))?.inner();
            let mut sorted: Vec<_> = entries.iter().map(|(key, value)| (name_of(key), value)).collect();
            sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (name, value) in sorted {
                let mut entry = Vec::new();
                put_delimited(&mut entry, delimited(1), name.as_bytes());
                let content = content(&**value, depth).map_err(|fault| fault.at(&name))?;
                put_delimited(&mut entry, delimited(2), &content);
                put_delimited(out, delimited(1), &entry);
            }
        }
        Shape::ListValue => {
            let items = value.downcast_ref::<CelList<'_>>();
            let items = items.ok_or_else(|| fault(rules::TYPE, value))?.inner();
            for item in items {
                put_delimited(out, delimited(1), &content(&**item, depth)?);
            }
        }
        _ => out.extend(content(value, depth)?),
    }
    Ok(())
}

fn delimited(number: u32) -> Tag {
    Tag::new(number, WireType::Delimited)
}

/// Returns the content of a `google.protobuf.Value`.
fn content(value: &dyn Val, depth: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    if is_null(value) {
        Tag::new(1, WireType::Varint).put_varint(0, &mut out);
    } else if let Some(own) = value.downcast_ref::<CelBool>() {
        Tag::new(4, WireType::Varint).put_varint(u64::from(*own.inner()), &mut out);
    } else if let Some(own) = value.downcast_ref::<CelString<'_>>() {
        put_delimited(&mut out, delimited(3), own.inner().as_bytes());
    } else if value.downcast_ref::<CelList<'_>>().is_some() {
        let mut inner = Vec::new();
        put(Shape::ListValue, value, &mut inner, depth + 1)?;
        put_delimited(&mut out, delimited(6), &inner);
    } else if value.downcast_ref::<CelMap<'_>>().is_some() {
        let mut inner = Vec::new();
        put(Shape::Struct, value, &mut inner, depth + 1)?;
        put_delimited(&mut out, delimited(5), &inner);
    } else {
        let number = match value.downcast_ref::<CelDouble>() {
            Some(own) => Some(*own.inner()),
            None => exact(value).map(|own| own.to_double()),
        };
        let number = number.filter(|number| number.is_finite());
        let number = number.ok_or_else(|| fault(rules::TYPE, value))?;
        Tag::new(2, WireType::Fixed64).put_fixed(number.to_le_bytes(), &mut out);
    }
    Ok(out)
}
