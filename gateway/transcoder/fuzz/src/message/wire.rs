//! The protobuf wire format, without a schema, as the encoding guide describes it.

use super::Refusal;

/// Levels of messages that are read. The transcoder's own bound is lower, wherever it counts.
pub(super) const MAX_LEVELS: usize = 400;
pub(crate) const TOO_DEEP: Refusal = "nested too deeply";

/// One occurrence of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'w> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Delimited(&'w [u8]),
    Group(&'w [u8]),
}

/// Returns the fields of a message in their order on the wire.
pub(crate) fn occurrences(wire: &[u8]) -> Result<Vec<(u32, Raw<'_>)>, Refusal> {
    let mut rest = wire;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (number, wire_type) = tag(&mut rest)?;
        found.push((number, raw(&mut rest, number, wire_type, 0)?));
    }
    Ok(found)
}

/// Number and content of the fields of a message that has only delimited ones.
pub(crate) fn delimited_fields(wire: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Refusal> {
    let fields = occurrences(wire)?
        .into_iter()
        .map(|(number, raw)| match raw {
            Raw::Delimited(content) => Ok((number, content.to_vec())),
            _ => Err("another wire type"),
        });
    fields.collect()
}

fn raw<'w>(
    rest: &mut &'w [u8],
    number: u32,
    wire_type: u32,
    level: usize,
) -> Result<Raw<'w>, Refusal> {
    match wire_type {
        0 => varint(rest).map(Raw::Varint),
        1 => fixed64(rest).map(Raw::Fixed64),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| CUT_OFF)?;
            take(rest, length).map(Raw::Delimited)
        }
        3 => group(rest, number, level).map(Raw::Group),
        5 => fixed32(rest).map(Raw::Fixed32),
        _ => Err("no such wire type here"),
    }
}

/// Returns the content of a group, whose end is read too.
fn group<'w>(rest: &mut &'w [u8], number: u32, level: usize) -> Result<&'w [u8], Refusal> {
    if level > MAX_LEVELS {
        return Err(TOO_DEEP);
    }
    let start = *rest;
    loop {
        let length = start.len() - rest.len();
        match tag(rest)? {
            (end, 4) if end == number => return Ok(&start[..length]),
            (inner, wire_type) => drop(raw(rest, inner, wire_type, level + 1)?),
        }
    }
}

const CUT_OFF: Refusal = "cut off";

fn tag(rest: &mut &[u8]) -> Result<(u32, u32), Refusal> {
    let before = rest.len();
    let tag = u32::try_from(varint(rest)?).map_err(|_| "tag out of range")?;
    if before - rest.len() > 5 {
        return Err("tag of more bytes than it can need");
    }
    if tag >> 3 == 0 {
        return Err("field number zero");
    }
    Ok((tag >> 3, tag & 7))
}

pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, Refusal> {
    let mut value: u128 = 0;
    for index in 0..10 {
        let [byte] = take(rest, 1)? else {
            return Err(CUT_OFF);
        };
        value |= u128::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value as u64);
        }
    }
    Err("varint of more than ten bytes")
}

pub(super) fn fixed64(rest: &mut &[u8]) -> Result<u64, Refusal> {
    let bytes = take(rest, 8)?.try_into().map_err(|_| CUT_OFF)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn fixed32(rest: &mut &[u8]) -> Result<u32, Refusal> {
    let bytes = take(rest, 4)?.try_into().map_err(|_| CUT_OFF)?;
    Ok(u32::from_le_bytes(bytes))
}

fn take<'w>(rest: &mut &'w [u8], length: usize) -> Result<&'w [u8], Refusal> {
    let (head, tail) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
    *rest = tail;
    Ok(head)
}
