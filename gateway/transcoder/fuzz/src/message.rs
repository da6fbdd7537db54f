//! Messages as plain values, read from the wire as the guides of protobuf.dev describe it.

mod any;
pub(crate) mod json;
pub(crate) mod read;
pub(crate) mod time;
mod wire;
pub(crate) mod write;

use std::collections::BTreeMap;

use prost_reflect::Kind;
use wire::{MAX_LEVELS, fixed32, fixed64, varint};

use crate::world::{Field, Shape, Type, World};

pub(crate) use wire::{Raw, TOO_DEEP, delimited_fields, occurrences};

/// A value. Floats are bits, so that values compare as they are written; there is one NaN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Datum {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Double(u64),
    Float(u32),
    Text(String),
    Bytes(Vec<u8>),
    Message(Record),
    List(Vec<Datum>),
    Map(BTreeMap<Datum, Datum>),
}

/// The fields present in a message, by number. The value of an Any whose type is known is a
/// message.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record(pub(crate) BTreeMap<u32, Datum>);

/// Why bytes are no message, or a text no JSON of one.
pub(crate) type Refusal = &'static str;

pub(crate) const ANY_URL: u32 = 1;
pub(crate) const ANY_VALUE: u32 = 2;
const SET_ITEM: u32 = 1;
const SET_TYPE: u32 = 2;
const SET_MESSAGE: u32 = 3;

// === impl Datum ===

impl Datum {
    pub(crate) fn double(value: f64) -> Datum {
        let value = if value.is_nan() { f64::NAN } else { value };
        Datum::Double(value.to_bits())
    }

    pub(crate) fn float(value: f32) -> Datum {
        let value = if value.is_nan() { f32::NAN } else { value };
        Datum::Float(value.to_bits())
    }

    /// Returns the default of a scalar type.
    pub(crate) fn default_of(kind: &Kind) -> Datum {
        match kind {
            Kind::Double => Datum::double(0.0),
            Kind::Float => Datum::float(0.0),
            Kind::Bool => Datum::Bool(false),
            Kind::String => Datum::Text(String::new()),
            Kind::Bytes => Datum::Bytes(Vec::new()),
            Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => Datum::Unsigned(0),
            Kind::Message(_) => Datum::Message(Record::default()),
            // The first one that is declared; in an open enum that is zero.
            Kind::Enum(kind) => {
                let first = kind.enum_descriptor_proto().value.first();
                Datum::Signed(first.map_or(0, |value| value.number().into()))
            }
            _ => Datum::Signed(0),
        }
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn get(&self, number: u32) -> Option<&Datum> {
        self.0.get(&number)
    }

    pub(crate) fn text(&self, number: u32) -> &str {
        match self.get(number) {
            Some(Datum::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn signed(&self, number: u32) -> i64 {
        match self.get(number) {
            Some(Datum::Signed(value)) => *value,
            _ => 0,
        }
    }

    /// Sets a field, unless it is at a default that means absent.
    pub(crate) fn set(&mut self, field: &Field, value: Datum) {
        let is_absent = match &value {
            Datum::List(elements) => elements.is_empty(),
            Datum::Map(entries) => entries.is_empty(),
            value => !field.has_presence && *value == Datum::default_of(&field.kind),
        };
        if is_absent {
            self.0.remove(&field.number);
        } else {
            self.0.insert(field.number, value);
        }
    }

    /// Reads a message. Overwritten values are not checked.
    pub(crate) fn decode(world: &World, kind: &Type, wire: &[u8]) -> Result<Record, Refusal> {
        decode(world, kind, wire, 0)
    }
}

fn decode(world: &World, kind: &Type, wire: &[u8], level: usize) -> Result<Record, Refusal> {
    if level > MAX_LEVELS {
        return Err(TOO_DEEP);
    }
    let mut by_field: BTreeMap<u32, Vec<Raw<'_>>> = BTreeMap::new();
    for (number, raw) in members_of(kind, wire)? {
        let is_known = |field: &&Field| is_of(field, raw) && !is_stray_value(world, field, raw);
        let Some(field) = kind.by_number(number).filter(is_known) else {
            continue;
        };
        if let Some(oneof) = &field.oneof {
            // The member that comes last is the only one.
            let rivals = kind.fields.iter().filter(|other| {
                other.oneof.as_ref() == Some(oneof) && other.number != field.number
            });
            rivals.for_each(|rival| drop(by_field.remove(&rival.number)));
        }
        by_field.entry(number).or_default().push(raw);
    }
    let mut record = Record::default();
    for (number, raws) in by_field {
        if let Some(field) = kind.by_number(number) {
            record.set(field, value(world, field, &raws, level)?);
        }
    }
    if kind.name == "google.protobuf.Any" {
        open_any(world, &mut record, level)?;
    }
    Ok(record)
}

/// Returns the fields of a message in their order on the wire; items of a message set are its
/// extensions.
pub(crate) fn members_of<'w>(kind: &Type, wire: &'w [u8]) -> Result<Vec<(u32, Raw<'w>)>, Refusal> {
    let mut members = Vec::new();
    for (number, raw) in occurrences(wire)? {
        match raw {
            Raw::Group(item) if kind.is_message_set && number == SET_ITEM => {
                let (mut number, mut message) = (None, None);
                for field in occurrences(item)? {
                    match field {
                        (SET_TYPE, Raw::Varint(id)) => number = u32::try_from(id).ok(),
                        (SET_MESSAGE, raw @ Raw::Delimited(_)) => message = Some(raw),
                        _ => {}
                    }
                }
                members.extend(number.zip(message));
            }
            raw => members.push((number, raw)),
        }
    }
    Ok(members)
}

/// Returns whether the value is none that its closed enum has; of a map, that of the entry.
fn is_stray_value(world: &World, field: &Field, raw: Raw<'_>) -> bool {
    let is_stray = |field: &Field, raw| match scalar(&field.kind, raw) {
        Ok(Datum::Signed(number)) => field.is_stray(number),
        _ => false,
    };
    match (field.shape, raw) {
        (Shape::Map, Raw::Delimited(entry)) => {
            let (_, value) = field.entry(world);
            let values = occurrences(entry).unwrap_or_default().into_iter();
            let mut own = values.filter(|(number, raw)| *number == 2 && is_of(value, *raw));
            own.next_back().is_some_and(|(_, raw)| is_stray(value, raw))
        }
        (_, Raw::Varint(_)) => is_stray(field, raw),
        _ => false,
    }
}

/// Returns whether the wire type is one that values of the field have; else the field is unknown.
pub(crate) fn is_of(field: &Field, raw: Raw<'_>) -> bool {
    let is_own = match raw {
        Raw::Group(_) => return field.shape.is_group(),
        Raw::Delimited(_) if field.shape.is_group() => return false,
        Raw::Varint(_) => is_varint(&field.kind),
        Raw::Fixed64(_) => matches!(field.kind, Kind::Double | Kind::Fixed64 | Kind::Sfixed64),
        Raw::Fixed32(_) => matches!(field.kind, Kind::Float | Kind::Fixed32 | Kind::Sfixed32),
        Raw::Delimited(_) => is_delimited(&field.kind),
    };
    let is_run = matches!(raw, Raw::Delimited(_)) && field.shape == Shape::List;
    is_own || is_run
}

fn is_delimited(kind: &Kind) -> bool {
    matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

fn is_varint(kind: &Kind) -> bool {
    let is_fixed = matches!(
        kind,
        Kind::Double
            | Kind::Fixed64
            | Kind::Sfixed64
            | Kind::Float
            | Kind::Fixed32
            | Kind::Sfixed32
    );
    !is_fixed && !is_delimited(kind)
}

/// Returns the value of all occurrences of a field.
fn value(world: &World, field: &Field, raws: &[Raw<'_>], level: usize) -> Result<Datum, Refusal> {
    match field.shape {
        Shape::Map => map(world, field, raws, level),
        Shape::List | Shape::GroupList => {
            let mut elements = Vec::new();
            for raw in raws {
                match raw {
                    Raw::Delimited(run) if !is_delimited(&field.kind) => {
                        let run = packed(&field.kind, run)?.into_iter();
                        elements.extend(run.filter(|element| match element {
                            Datum::Signed(number) => !field.is_stray(*number),
                            _ => true,
                        }));
                    }
                    raw => elements.push(single(world, field, &[*raw], level)?),
                }
            }
            Ok(Datum::List(elements))
        }
        Shape::Single | Shape::Group => single(world, field, raws, level),
    }
}

fn single(world: &World, field: &Field, raws: &[Raw<'_>], level: usize) -> Result<Datum, Refusal> {
    let Some(name) = field.message() else {
        return scalar(&field.kind, *raws.last().ok_or("nothing to read")?);
    };
    // Messages merge, and that is what their concatenation decodes to; but each has to be one.
    let mut content = Vec::new();
    for raw in raws {
        if let Raw::Delimited(part) | Raw::Group(part) = raw {
            occurrences(part)?;
            content.extend_from_slice(part);
        }
    }
    decode(world, world.message(&name), &content, level + 1).map(Datum::Message)
}

fn map(world: &World, field: &Field, raws: &[Raw<'_>], level: usize) -> Result<Datum, Refusal> {
    let (key_field, value_field) = field.entry(world);
    let mut last: BTreeMap<Datum, Vec<Raw<'_>>> = BTreeMap::new();
    for raw in raws {
        let Raw::Delimited(entry) = raw else { continue };
        let mut key = Datum::default_of(&key_field.kind);
        let mut values = Vec::new();
        let mut key_raw = None;
        for (number, raw) in occurrences(entry)? {
            match number {
                1 if is_of(key_field, raw) => key_raw = Some(raw),
                2 if is_of(value_field, raw) => values.push(raw),
                _ => {}
            }
        }
        if let Some(raw) = key_raw {
            key = scalar(&key_field.kind, raw)?;
        }
        last.insert(key, values);
    }
    let mut entries = BTreeMap::new();
    for (key, values) in last {
        let value = match (values.as_slice(), value_field.message()) {
            ([], None) => Datum::default_of(&value_field.kind),
            (values, _) => single(world, value_field, values, level + 1)?,
        };
        entries.insert(key, value);
    }
    Ok(Datum::Map(entries))
}

fn packed(kind: &Kind, run: &[u8]) -> Result<Vec<Datum>, Refusal> {
    let mut rest = run;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let raw = match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Raw::Fixed64(fixed64(&mut rest)?),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Raw::Fixed32(fixed32(&mut rest)?),
            _ => Raw::Varint(varint(&mut rest)?),
        };
        elements.push(scalar(kind, raw)?);
    }
    Ok(elements)
}

/// Narrow types keep the low bits of larger values.
fn scalar(kind: &Kind, raw: Raw<'_>) -> Result<Datum, Refusal> {
    let unzigzag = |value: u64| (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
    Ok(match (kind, raw) {
        (Kind::Double, Raw::Fixed64(bits)) => Datum::double(f64::from_bits(bits)),
        (Kind::Float, Raw::Fixed32(bits)) => Datum::float(f32::from_bits(bits)),
        (Kind::Fixed64, Raw::Fixed64(bits)) => Datum::Unsigned(bits),
        (Kind::Sfixed64, Raw::Fixed64(bits)) => Datum::Signed(bits.cast_signed()),
        (Kind::Fixed32, Raw::Fixed32(bits)) => Datum::Unsigned(bits.into()),
        (Kind::Sfixed32, Raw::Fixed32(bits)) => Datum::Signed(bits.cast_signed().into()),
        (Kind::Bool, Raw::Varint(value)) => Datum::Bool(value != 0),
        (Kind::Uint64, Raw::Varint(value)) => Datum::Unsigned(value),
        (Kind::Uint32, Raw::Varint(value)) => Datum::Unsigned((value as u32).into()),
        (Kind::Int64, Raw::Varint(value)) => Datum::Signed(value.cast_signed()),
        (Kind::Sint64, Raw::Varint(value)) => Datum::Signed(unzigzag(value)),
        (Kind::Sint32, Raw::Varint(value)) => Datum::Signed(unzigzag((value as u32).into())),
        (_, Raw::Varint(value)) => Datum::Signed((value as i32).into()),
        (Kind::String, Raw::Delimited(bytes)) => Datum::Text(
            std::str::from_utf8(bytes)
                .map_err(|_| "not UTF-8")?
                .to_owned(),
        ),
        (_, Raw::Delimited(bytes)) => Datum::Bytes(bytes.to_vec()),
        _ => return Err("another wire type"),
    })
}

/// Replaces the value of an Any by the message in it, where its type is known.
fn open_any(world: &World, record: &mut Record, level: usize) -> Result<(), Refusal> {
    let Ok(kind) = world.by_url(record.text(ANY_URL)) else {
        return Ok(());
    };
    let inner = match record.get(ANY_VALUE) {
        Some(Datum::Bytes(bytes)) => decode(world, kind, bytes, level + 1)?,
        _ => Record::default(),
    };
    record.0.insert(ANY_VALUE, Datum::Message(inner));
    Ok(())
}
