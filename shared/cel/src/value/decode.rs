//! Scalars, moments and spans of time.

use cel_engine::ExecutionError;
use cel_engine::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelString, CelTimestamp, CelUInt,
};
use chrono::{DateTime, TimeDelta, Utc};
use descriptors::{Kind, Types};
use wire::{Read, Reader, unzigzag};

use super::{Boxed, Content, failed, malformed};

/// Reads a scalar without its tag and length.
pub(super) fn scalar<'v>(kind: Kind, raw: &'v [u8]) -> Result<Boxed<'v>, ExecutionError> {
    match kind {
        Kind::String => match str::from_utf8(raw) {
            Ok(text) => Ok(Box::new(CelString::from(text))),
            Err(_) => Err(failed("text is not UTF-8")),
        },
        Kind::Bytes => Ok(Box::new(CelBytes::from(raw))),
        _ => number(kind, raw).map_err(malformed),
    }
}

fn number<'v>(kind: Kind, raw: &[u8]) -> Read<Boxed<'v>> {
    let mut reader = Reader::new(raw);
    let int = |number: i64| -> Boxed<'v> { Box::new(CelInt::from(number)) };
    let uint = |number: u64| -> Boxed<'v> { Box::new(CelUInt::from(number)) };
    Ok(match kind {
        Kind::Double => Box::new(CelDouble::from(f64::from_bits(reader.fixed64()?))),
        Kind::Float => Box::new(CelDouble::from(f64::from(f32::from_bits(
            reader.fixed32()?,
        )))),
        Kind::Bool => Box::new(CelBool::from(reader.varint()? != 0)),
        Kind::Fixed32 => uint(u64::from(reader.fixed32()?)),
        Kind::Fixed64 => uint(reader.fixed64()?),
        Kind::Uint32 => uint(u64::from(reader.varint()? as u32)),
        Kind::Uint64 => uint(reader.varint()?),
        Kind::Sfixed32 => int(i64::from(reader.fixed32()? as i32)),
        Kind::Sfixed64 => int(reader.fixed64()? as i64),
        Kind::Sint32 => int(i64::from(
            unzigzag(u64::from(reader.varint()? as u32)) as i32
        )),
        Kind::Sint64 => int(unzigzag(reader.varint()?)),
        Kind::Int64 => int(reader.varint()? as i64),
        _ => int(i64::from(reader.varint()? as i32)),
    })
}

/// Returns the value of a scalar field that is not on the wire.
pub(super) fn default<'v>(types: &Types, kind: Kind) -> Boxed<'v> {
    match kind {
        Kind::Double | Kind::Float => Box::new(CelDouble::from(0.0)),
        Kind::Bool => Box::new(CelBool::from(false)),
        Kind::String => Box::new(CelString::from("")),
        Kind::Bytes => Box::new(CelBytes::from(&[][..])),
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Box::new(CelUInt::from(0)),
        Kind::Enum(id) => {
            let first = types.enums.get(id).map_or(0, |own| own.default_number());
            Box::new(CelInt::from(i64::from(first)))
        }
        _ => Box::new(CelInt::from(0)),
    }
}

/// Reads a `google.protobuf.Timestamp`.
pub(super) fn timestamp<'v>(content: &Content<'v>) -> Result<Boxed<'v>, ExecutionError> {
    let (seconds, nanos) = time(content).map_err(malformed)?;
    let nanos = u32::try_from(nanos).ok();
    let moment = nanos.and_then(|nanos| DateTime::<Utc>::from_timestamp(seconds, nanos));
    match moment {
        Some(moment) => Ok(Box::new(CelTimestamp::from(moment.fixed_offset()))),
        None => Err(failed("timestamp is out of range")),
    }
}

/// Reads a `google.protobuf.Duration`.
pub(super) fn duration<'v>(content: &Content<'v>) -> Result<Boxed<'v>, ExecutionError> {
    let (seconds, nanos) = time(content).map_err(malformed)?;
    let span = TimeDelta::try_seconds(seconds);
    let span = span.and_then(|span| span.checked_add(&TimeDelta::nanoseconds(i64::from(nanos))));
    // The range of durations in CEL.
    match span.filter(|span| span.num_nanoseconds().is_some()) {
        Some(span) => Ok(Box::new(CelDuration::from(span))),
        None => Err(failed("duration is out of range")),
    }
}

fn time(content: &Content<'_>) -> Read<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    for piece in content {
        let mut reader = Reader::new(piece);
        while let Some((number, wire_type)) = reader.tag()? {
            match (number, wire_type) {
                (1, wire::WireType::Varint) => seconds = reader.varint()? as i64,
                (2, wire::WireType::Varint) => nanos = reader.varint()? as i32,
                _ => reader.skip(number, wire_type)?,
            }
        }
    }
    Ok((seconds, nanos))
}
