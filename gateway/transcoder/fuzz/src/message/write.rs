//! Messages to ProtoJSON, as a tree of serde_json.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::Kind;
use serde_json::{Map, Value};
use transcoder::EmitDefaults;

use super::any::has_own_json;
use super::{ANY_URL, ANY_VALUE, Datum, Raw, Record, Refusal, members_of, packed, time};
use crate::world::{Field, Shape, Type, World};

type Write = Result<Value, Refusal>;

/// Returns the JSON of a message.
pub(crate) fn message(world: &World, kind: &Type, record: &Record) -> Write {
    let well_known = kind
        .name
        .strip_prefix("google.protobuf.")
        .unwrap_or_default();
    let times = || (record.signed(1), record.signed(2));
    match well_known {
        "Any" => any(world, record),
        "Timestamp" => {
            let (seconds, nanos) = times();
            text(time::write_timestamp(seconds, nanos))
        }
        "Duration" => {
            let (seconds, nanos) = times();
            text(time::write_duration(seconds, nanos))
        }
        "FieldMask" => mask(record),
        "Value" => free_form(world, kind, record),
        "Struct" | "ListValue" => only(world, kind, record),
        name if name.ends_with("Value") && name != "EnumValue" => only(world, kind, record),
        _ => members(world, kind, record).map(Value::Object),
    }
}

/// Returns whether a parser, which sees also what later bytes overwrite, would find nothing wrong:
/// neither bytes that are no message nor texts that are not UTF-8.
pub(crate) fn is_whole(world: &World, kind: &Type, wire: &[u8]) -> bool {
    let Ok(members) = members_of(kind, wire) else {
        return false;
    };
    let mut any = (None, None);
    for (number, raw) in members {
        let (Some(field), Raw::Delimited(content) | Raw::Group(content)) =
            (kind.by_number(number), raw)
        else {
            continue;
        };
        let is_fine = match field.message() {
            Some(name) => is_whole(world, world.message(&name), content),
            None if field.kind == Kind::String => std::str::from_utf8(content).is_ok(),
            None => field.kind == Kind::Bytes || packed(&field.kind, content).is_ok(),
        };
        if !is_fine {
            return false;
        }
        match number {
            ANY_URL => any.0 = std::str::from_utf8(content).ok(),
            ANY_VALUE => any.1 = Some(content),
            _ => {}
        }
    }
    if kind.name != "google.protobuf.Any" {
        return true;
    }
    let inner = any.0.and_then(|url| world.by_url(url).ok());
    inner.is_none_or(|kind| is_whole(world, kind, any.1.unwrap_or_default()))
}

fn text(text: Option<String>) -> Write {
    text.map(Value::String).ok_or("has no JSON form")
}

fn members(world: &World, kind: &Type, record: &Record) -> Result<Map<String, Value>, Refusal> {
    let mut object = Map::new();
    for field in &kind.fields {
        let value = match record.get(field.number) {
            Some(datum) => Some(value(world, field, datum)?),
            None => default(world, field),
        };
        let name = field.shown_name(world.style).to_owned();
        object.extend(value.map(|value| (name, value)));
    }
    Ok(object)
}

/// Returns the value shown for an absent field.
fn default(world: &World, field: &Field) -> Option<Value> {
    let mode = world.style.defaults;
    match field.shape {
        _ if field.is_extension() || mode == EmitDefaults::Never => None,
        Shape::Map => (mode == EmitDefaults::All).then(|| Value::Object(Map::new())),
        Shape::List | Shape::GroupList => {
            (mode == EmitDefaults::All).then(|| Value::Array(Vec::new()))
        }
        _ if field.has_presence => None,
        _ => Some(scalar(world, &field.kind, &Datum::default_of(&field.kind))),
    }
}

/// Returns a message of one field, which stands for the whole.
fn only(world: &World, kind: &Type, record: &Record) -> Write {
    let field = kind.by_number(1).ok_or("no such field")?;
    let absent = match kind.name.as_str() {
        "google.protobuf.Struct" => Datum::Map(BTreeMap::new()),
        "google.protobuf.ListValue" => Datum::List(Vec::new()),
        _ => Datum::default_of(&field.kind),
    };
    value(world, field, record.get(1).unwrap_or(&absent))
}

fn value(world: &World, field: &Field, datum: &Datum) -> Write {
    match datum {
        Datum::List(elements) => {
            let elements = elements.iter().map(|element| value(world, field, element));
            elements.collect::<Result<_, _>>().map(Value::Array)
        }
        Datum::Map(entries) => {
            let (_, value_field) = field.entry(world);
            let mut object = Map::new();
            for (key, datum) in entries {
                object.insert(key_text(key), value(world, value_field, datum)?);
            }
            Ok(Value::Object(object))
        }
        Datum::Message(record) => {
            let name = field.message().ok_or("not a message")?;
            message(world, world.message(&name), record)
        }
        datum => Ok(scalar(world, &field.kind, datum)),
    }
}

fn key_text(key: &Datum) -> String {
    match key {
        Datum::Text(text) => text.clone(),
        Datum::Bool(value) => value.to_string(),
        Datum::Signed(value) => value.to_string(),
        Datum::Unsigned(value) => value.to_string(),
        _ => String::new(),
    }
}

fn scalar(world: &World, kind: &Kind, datum: &Datum) -> Value {
    let is_wide = matches!(
        kind,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64
    );
    match datum {
        Datum::Bool(value) => Value::Bool(*value),
        Datum::Signed(value) => match kind {
            Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => Value::Null,
            Kind::Enum(_) if world.style.shows_numbers => Value::from(*value),
            // The first of several names.
            Kind::Enum(kind) => {
                let mut declared = kind.enum_descriptor_proto().value.iter();
                let found = declared.find(|own| i64::from(own.number()) == *value);
                found.map_or(Value::from(*value), |own| own.name().into())
            }
            _ if is_wide => Value::String(value.to_string()),
            _ => Value::from(*value),
        },
        Datum::Unsigned(value) if is_wide => Value::String(value.to_string()),
        Datum::Unsigned(value) => Value::from(*value),
        Datum::Double(bits) => float(f64::from_bits(*bits)),
        Datum::Float(bits) => {
            let value = f32::from_bits(*bits);
            // The shortest text for 32 bits, read as the 64 bits that serde_json knows.
            float(value.to_string().parse().unwrap_or(f64::from(value)))
        }
        Datum::Text(text) => Value::String(text.clone()),
        Datum::Bytes(bytes) => Value::String(BASE64_STANDARD.encode(bytes)),
        Datum::Message(_) | Datum::List(_) | Datum::Map(_) => Value::Null,
    }
}

fn float(value: f64) -> Value {
    let special = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    serde_json::Number::from_f64(value).map_or_else(|| special.into(), Value::Number)
}

fn mask(record: &Record) -> Write {
    let Some(Datum::List(paths)) = record.get(1) else {
        return Ok("".into());
    };
    let mut texts = Vec::new();
    for path in paths {
        let Datum::Text(path) = path else {
            return Err("not a path");
        };
        let camel = time::camel(path).filter(|text| !text.is_empty());
        texts.push(camel.ok_or("path without a JSON form")?);
    }
    Ok(texts.join(",").into())
}

/// Returns a Value; one without a member is `null`.
fn free_form(world: &World, kind: &Type, record: &Record) -> Write {
    let Some((number, datum)) = record.0.first_key_value() else {
        return Ok(Value::Null);
    };
    if let Datum::Double(bits) = datum
        && !f64::from_bits(*bits).is_finite()
    {
        return Err("no JSON number is infinite");
    }
    let field = kind.by_number(*number).ok_or("no such field")?;
    value(world, field, datum)
}

fn any(world: &World, record: &Record) -> Write {
    if record.0.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let url = record.text(ANY_URL);
    let kind = world.by_url(url)?;
    let Some(Datum::Message(inner)) = record.get(ANY_VALUE) else {
        return Err("no message");
    };
    let mut object = Map::new();
    if has_own_json(&kind.name) && kind.name != "google.protobuf.Empty" {
        object.insert("value".into(), message(world, kind, inner)?);
    } else {
        object = members(world, kind, inner)?;
    }
    object.insert("@type".into(), url.into());
    Ok(Value::Object(object))
}
