//! The JSON of `google.protobuf.Any`.

use super::json::Json;
use super::{ANY_URL, ANY_VALUE, Datum, Record, read};
use crate::world::World;

/// Reads an Any. Its type may stand anywhere among the members. Types whose JSON is not made of
/// their fields stand under `value`.
pub(super) fn read(world: &World, json: &Json<'_>) -> read::Read<Record> {
    let all = read::object(json)?;
    if all.is_empty() {
        return Ok(Record::default());
    }
    let (types, mut others): (Vec<_>, Vec<_>) = all.iter().partition(|(key, _)| key == "@type");
    let [(_, Json::Text(url))] = types.as_slice() else {
        return Err(read::ANY_MEMBERS);
    };
    let kind = world.by_url(url)?;
    if has_own_json(&kind.name) && world.style.ignores_unknown {
        others.retain(|(key, _)| key == "value");
    }
    let inner = match (has_own_json(&kind.name), others.as_slice()) {
        (false, _) => read::members(world, kind, others.into_iter())?,
        (true, [(key, json)]) if key == "value" => read::message(world, kind, json)?,
        (true, []) if kind.name == "google.protobuf.Empty" => Record::default(),
        (true, [_, ..]) if others.iter().all(|(key, _)| key == "value") => {
            return Err(read::DUPLICATE_FIELD);
        }
        (true, _) => return Err(read::ANY_MEMBERS),
    };
    let mut record = read::one(ANY_URL, Datum::Text(url.clone()));
    record.0.insert(ANY_VALUE, Datum::Message(inner));
    Ok(record)
}

/// Returns whether the type stands under `value` in an Any.
pub(crate) fn has_own_json(name: &str) -> bool {
    let Some(name) = name.strip_prefix("google.protobuf.") else {
        return false;
    };
    let plain = [
        "Any",
        "Duration",
        "Empty",
        "FieldMask",
        "Struct",
        "Timestamp",
    ];
    plain.contains(&name) || (name.ends_with("Value") && name != "EnumValue")
}
