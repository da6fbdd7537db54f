//! ProtoJSON to messages, rule by rule as the ProtoJSON guide of protobuf.dev has them.

use std::collections::{BTreeMap, BTreeSet};

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use prost_reflect::Kind;

use super::any::{self, has_own_json};
use super::json::Json;
use super::{Datum, Record, Refusal, time};
use crate::world::{Field, Shape, Type, World, is_stray};

pub(super) type Read<T> = Result<T, Refusal>;

// Faults that other implementations are known to accept; `LENIENT` lists them.
pub(crate) const DUPLICATE_FIELD: Refusal = "a field comes twice";
pub(crate) const DUPLICATE_KEY: Refusal = "a key comes twice";
pub(crate) const NULL_ELEMENT: Refusal = "null can't be an element of a list or map";
pub(crate) const NUMBER_TEXT: Refusal = "not a number as JSON writes it";
/// By way of `f64` it may look like one.
pub(crate) const NOT_INTEGER: Refusal = "not an integer";
pub(crate) const NOT_TIMESTAMP: Refusal = "not a timestamp";
pub(crate) const NOT_DURATION: Refusal = "not a duration";
pub(crate) const NOT_MASK: Refusal = "not a field mask";
pub(crate) const OUT_OF_RANGE: Refusal = "out of range";
pub(crate) const ANY_MEMBERS: Refusal = "an Any has other members";
pub(crate) const DOTTED_NAME: Refusal = "a dot begins the name of a type";
pub(crate) const NOT_BASE64: Refusal = "not base64";
pub(crate) const NOT_OBJECT: Refusal = "not an object";
pub(crate) const UNKNOWN_VALUE: Refusal = "no such enum value";

/// Reads the JSON of a message.
pub(crate) fn message(world: &World, kind: &Type, json: &Json<'_>) -> Read<Record> {
    let well_known = kind
        .name
        .strip_prefix("google.protobuf.")
        .unwrap_or_default();
    match well_known {
        "Any" => any::read(world, json),
        "Timestamp" => pair(time::parse_timestamp(text(json)?).ok_or(NOT_TIMESTAMP)?),
        "Duration" => pair(time::parse_duration(text(json)?).ok_or(NOT_DURATION)?),
        "FieldMask" => mask(text(json)?),
        "Struct" | "ListValue" | "Value" => free_form(well_known, json),
        name if name.ends_with("Value") => {
            let field = kind.by_number(1).ok_or("no such wrapper")?;
            let mut record = Record::default();
            record.set(field, scalar(&field.kind, json)?);
            Ok(record)
        }
        _ => members(world, kind, object(json)?.iter()),
    }
}

fn text<'j>(json: &'j Json<'_>) -> Read<&'j str> {
    match json {
        Json::Text(text) => Ok(text),
        _ => Err("not a string"),
    }
}

pub(super) fn object<'j, 'a>(json: &'j Json<'a>) -> Read<&'j [(String, Json<'a>)]> {
    match json {
        Json::Object(members) => Ok(members),
        _ => Err(NOT_OBJECT),
    }
}

pub(super) fn members<'j, 'a: 'j>(
    world: &World,
    kind: &Type,
    members: impl Iterator<Item = &'j (String, Json<'a>)>,
) -> Read<Record> {
    let mut record = Record::default();
    let mut seen = BTreeSet::new();
    let mut oneofs = BTreeSet::new();
    for (key, json) in members {
        let Some(field) = kind.by_name(key, world.style) else {
            match world.style.ignores_unknown {
                true => continue,
                false => return Err("no such field"),
            }
        };
        if !seen.insert(field.number) {
            return Err(DUPLICATE_FIELD);
        }
        let is_null = *json == Json::Null && !(field.shape.is_single() && field.takes_null());
        if let Some(oneof) = &field.oneof
            && !is_null
            && !oneofs.insert(oneof)
        {
            return Err("two members of one oneof");
        }
        if !is_null && let Some(value) = kept(world, value(world, field, json))? {
            record.set(field, value);
        }
    }
    Ok(record)
}

/// Returns the value, or nothing where it names what no enum has and that is to be ignored.
fn kept(world: &World, value: Read<Datum>) -> Read<Option<Datum>> {
    match value {
        Err(UNKNOWN_VALUE) if world.style.ignores_unknown => Ok(None),
        value => value.map(Some),
    }
}

fn value(world: &World, field: &Field, json: &Json<'_>) -> Read<Datum> {
    match field.shape {
        Shape::Single | Shape::Group => single(world, field, json),
        Shape::List | Shape::GroupList => match json {
            Json::Array(elements) => {
                let elements = elements
                    .iter()
                    .map(|json| kept(world, element(world, field, json)));
                let elements = elements.collect::<Read<Vec<_>>>()?;
                Ok(Datum::List(elements.into_iter().flatten().collect()))
            }
            _ => Err("not an array"),
        },
        Shape::Map => {
            let (key_field, value_field) = field.entry(world);
            let mut entries = BTreeMap::new();
            for (key, json) in object(json)? {
                let key = scalar_text(&key_field.kind, key)?;
                let value = kept(world, element(world, value_field, json))?;
                if entries.insert(key, value).is_some() {
                    return Err(DUPLICATE_KEY);
                }
            }
            let entries = entries.into_iter();
            let kept = entries.filter_map(|(key, value)| Some((key, value?)));
            Ok(Datum::Map(kept.collect()))
        }
    }
}

fn element(world: &World, field: &Field, json: &Json<'_>) -> Read<Datum> {
    if *json == Json::Null && !field.takes_null() {
        return Err(NULL_ELEMENT);
    }
    single(world, field, json)
}

fn single(world: &World, field: &Field, json: &Json<'_>) -> Read<Datum> {
    match field.message() {
        Some(name) => message(world, world.message(&name), json).map(Datum::Message),
        None => scalar(&field.kind, json),
    }
}

fn scalar(kind: &Kind, json: &Json<'_>) -> Read<Datum> {
    match (kind, json) {
        (Kind::Bool, Json::Bool(value)) => Ok(Datum::Bool(*value)),
        (Kind::String, Json::Text(text)) => Ok(Datum::Text(text.clone())),
        (Kind::Bytes, Json::Text(text)) => bytes(text),
        (Kind::Bool | Kind::String | Kind::Bytes, _) => Err("another type of JSON value"),
        (Kind::Enum(kind), Json::Text(name)) => {
            let found = kind.get_value_by_name(name).ok_or(UNKNOWN_VALUE)?;
            Ok(Datum::Signed(found.number().into()))
        }
        (Kind::Enum(kind), Json::Null) if kind.full_name() == "google.protobuf.NullValue" => {
            Ok(Datum::Signed(0))
        }
        (_, Json::Number(text)) => number(kind, text),
        (_, Json::Text(text)) => number_text(kind, text),
        _ => Err("another type of JSON value"),
    }
}

/// Returns a scalar outside of JSON: in a query, and as the key of a map.
pub(crate) fn scalar_text(kind: &Kind, text: &str) -> Read<Datum> {
    match kind {
        Kind::Bool => scalar(
            kind,
            &Json::Bool(text.parse().map_err(|_| "not a boolean")?),
        ),
        Kind::Enum(_) if is_number(text) => number(kind, text),
        Kind::Enum(kind) if text == "null" && kind.full_name() == "google.protobuf.NullValue" => {
            Ok(Datum::Signed(0))
        }
        kind => scalar(kind, &Json::Text(text.to_owned())),
    }
}

/// Returns a message in a query: what its JSON string or number says, or JSON text where the type
/// is JSON itself.
pub(crate) fn message_text(world: &World, kind: &Type, text: &str) -> Read<Record> {
    match kind
        .name
        .strip_prefix("google.protobuf.")
        .unwrap_or_default()
    {
        "Timestamp" => pair(time::parse_timestamp(text).ok_or(NOT_TIMESTAMP)?),
        "Duration" => pair(time::parse_duration(text).ok_or(NOT_DURATION)?),
        "FieldMask" => mask(text),
        "Empty" if text.is_empty() => Ok(Record::default()),
        "Empty" | "Struct" | "Value" | "ListValue" => {
            message(world, kind, &Json::parse(text.as_bytes())?)
        }
        name if name.ends_with("Value") => {
            let field = kind.by_number(1).ok_or("no such wrapper")?;
            let mut record = Record::default();
            record.set(field, scalar_text(&field.kind, text)?);
            Ok(record)
        }
        _ => Err("no text form"),
    }
}

/// Returns whether elements of the type, in a list, can be set by a query.
pub(crate) fn has_text(name: &str) -> bool {
    has_own_json(name) && name != "google.protobuf.Any"
}

fn number_text(kind: &Kind, text: &str) -> Read<Datum> {
    let special = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        text if is_number(text) => return number(kind, text),
        _ => return Err(NUMBER_TEXT),
    };
    match kind {
        Kind::Double => Ok(Datum::double(special)),
        Kind::Float => Ok(Datum::float(special as f32)),
        _ => Err(NOT_INTEGER),
    }
}

/// Returns whether serde_json takes it for a number.
fn is_number(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
    is_plain && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn number(kind: &Kind, text: &str) -> Read<Datum> {
    match kind {
        Kind::Enum(_) => match signed(text, i32::MIN.into(), i32::MAX.into())? {
            Datum::Signed(number) if is_stray(kind, number) => Err(UNKNOWN_VALUE),
            number => Ok(number),
        },
        Kind::Double => {
            let value: f64 = text.parse().map_err(|_| NUMBER_TEXT)?;
            value
                .is_finite()
                .then(|| Datum::double(value))
                .ok_or(OUT_OF_RANGE)
        }
        Kind::Float => {
            let value: f32 = text.parse().map_err(|_| NUMBER_TEXT)?;
            value
                .is_finite()
                .then(|| Datum::float(value))
                .ok_or(OUT_OF_RANGE)
        }
        Kind::Uint32 | Kind::Fixed32 => unsigned(text, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => unsigned(text, u64::MAX),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => signed(text, i64::MIN, i64::MAX),
        _ => signed(text, i32::MIN.into(), i32::MAX.into()),
    }
}

fn unsigned(text: &str, max: u64) -> Read<Datum> {
    let value = u64::try_from(integer(text)?).map_err(|_| OUT_OF_RANGE)?;
    (value <= max)
        .then_some(Datum::Unsigned(value))
        .ok_or(OUT_OF_RANGE)
}

fn signed(text: &str, min: i64, max: i64) -> Read<Datum> {
    let value = i64::try_from(integer(text)?).map_err(|_| OUT_OF_RANGE)?;
    let is_in_range = (min..=max).contains(&value);
    is_in_range
        .then_some(Datum::Signed(value))
        .ok_or(OUT_OF_RANGE)
}

/// Moves the point in the digits by the exponent, and reads the integer part.
fn integer(text: &str) -> Read<i128> {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // Digits after the last significant one are zeros.
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    // Far beyond any that matters, and not so far that a sum overflows.
    const HUGE: i64 = i64::MAX / 2;
    let huge = if exponent.starts_with('-') {
        -HUGE
    } else {
        HUGE
    };
    let exponent = exponent.trim_start_matches('+').parse().unwrap_or(huge);
    let exponent = exponent.clamp(-HUGE, HUGE);
    let shift = exponent - fraction.len() as i64 + zeros as i64;
    if shift < 0 {
        return Err(NOT_INTEGER);
    }
    if significant.len() as i64 + shift > 30 {
        return Err(OUT_OF_RANGE);
    }
    let value: i128 = format!("{significant}{}", "0".repeat(shift as usize))
        .parse()
        .map_err(|_| OUT_OF_RANGE)?;
    Ok(if mantissa.starts_with('-') {
        -value
    } else {
        value
    })
}

/// Either alphabet, but not both in one text; padding or none.
fn bytes(text: &str) -> Read<Datum> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let decode = |alphabet| GeneralPurpose::new(alphabet, config).decode(text);
    let decoded = decode(&alphabet::STANDARD).or_else(|_| decode(&alphabet::URL_SAFE));
    decoded.map(Datum::Bytes).map_err(|_| NOT_BASE64)
}

/// `seconds` and `nanos` of a Timestamp or a Duration.
fn pair((seconds, nanos): (i64, i64)) -> Read<Record> {
    let fields = [(1, seconds), (2, nanos)].into_iter();
    let present = fields.filter(|(_, value)| *value != 0);
    Ok(Record(
        present
            .map(|(number, value)| (number, Datum::Signed(value)))
            .collect(),
    ))
}

fn mask(text: &str) -> Read<Record> {
    let paths = time::parse_mask(text).ok_or(NOT_MASK)?;
    let paths: Vec<Datum> = paths.into_iter().map(Datum::Text).collect();
    Ok(match paths.is_empty() {
        true => Record::default(),
        false => one(1, Datum::List(paths)),
    })
}

pub(super) fn one(number: u32, value: Datum) -> Record {
    Record(BTreeMap::from([(number, value)]))
}

/// `Struct`, `ListValue` and `Value`, of which the first two are what the last holds as object and
/// array.
fn free_form(name: &str, json: &Json<'_>) -> Read<Record> {
    let free = |json| free_form("Value", json).map(Datum::Message);
    match (name, json) {
        ("Struct", Json::Object(members)) => {
            let mut entries = BTreeMap::new();
            for (key, json) in members {
                if entries
                    .insert(Datum::Text(key.clone()), free(json)?)
                    .is_some()
                {
                    return Err(DUPLICATE_KEY);
                }
            }
            Ok(match entries.is_empty() {
                true => Record::default(),
                false => one(1, Datum::Map(entries)),
            })
        }
        ("ListValue", Json::Array(elements)) => {
            let elements = elements.iter().map(free).collect::<Read<Vec<_>>>()?;
            Ok(match elements.is_empty() {
                true => Record::default(),
                false => one(1, Datum::List(elements)),
            })
        }
        ("Struct" | "ListValue", _) => Err("another type of JSON value"),
        (_, Json::Null) => Ok(one(1, Datum::Signed(0))),
        (_, Json::Number(text)) => Ok(one(2, number(&Kind::Double, text)?)),
        (_, Json::Text(text)) => Ok(one(3, Datum::Text(text.clone()))),
        (_, Json::Bool(value)) => Ok(one(4, Datum::Bool(*value))),
        (_, Json::Object(_)) => Ok(one(5, Datum::Message(free_form("Struct", json)?))),
        (_, Json::Array(_)) => Ok(one(6, Datum::Message(free_form("ListValue", json)?))),
    }
}
