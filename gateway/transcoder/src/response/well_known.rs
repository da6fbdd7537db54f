//! The well-known types that JSON writes in their own way.

use descriptors::{MessagePlan, Shape};
use wire::{Read, Reader, WireError, WireType};

use super::{Decoder, utf8};
use crate::fields::All;
use crate::limits::MAX_SHOWN_CHARS;
use crate::tables::{Tables, missing_type};
use crate::{json, wkt};

impl Decoder<'_> {
    pub(super) fn well_known(&mut self, plan: &MessagePlan, wire: &[u8], depth: usize) -> Read<()> {
        match plan.shape {
            Shape::Timestamp => self.time(wire, wkt::write_timestamp),
            Shape::Duration => self.time(wire, wkt::write_duration),
            Shape::FieldMask => self.field_mask(wire),
            Shape::Wrapper => self.wrapper(plan, wire, depth),
            // One field, which stands for the whole message.
            Shape::Struct | Shape::ListValue => self.only(plan, 0, wire, depth, All),
            // Only the struct or list around a value counts as a level, as it does in JSON.
            Shape::Value => self.value(plan, wire, depth.saturating_sub(1)),
            Shape::Any => {
                let (url, value) = read_any(wire)?;
                if url.is_empty() && value.is_empty() {
                    self.out.extend_from_slice(b"{}");
                    return Ok(());
                }
                self.any(url, value, depth)
            }
            Shape::Object | Shape::Empty => self.members(plan, wire, depth, All),
        }
    }

    /// Writes the value alone, which is usually all of the message.
    fn wrapper(&mut self, plan: &MessagePlan, wire: &[u8], depth: usize) -> Read<()> {
        let start = self.out.len();
        if let Some(field) = plan.fields.first()
            && let Some(rest) = field.tag.strip(wire)
        {
            let mut reader = Reader::new(rest);
            self.scalar(field.kind, &mut reader)?;
            if reader.rest.is_empty() {
                return Ok(());
            }
            self.out.truncate(start);
        }
        self.only(plan, 0, wire, depth, All)
    }

    #[inline]
    fn time(
        &mut self,
        wire: &[u8],
        write: fn(i64, i32, &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Read<()> {
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = Reader::new(wire);
        // Both in this order is what encoders write.
        if let [0x08, rest @ ..] = reader.rest {
            reader.rest = rest;
            seconds = reader.varint()? as i64;
        }
        if let [0x10, rest @ ..] = reader.rest {
            reader.rest = rest;
            nanos = reader.varint()? as i32;
        }
        while let Some((number, wire_type)) = reader.tag()? {
            match (number, wire_type) {
                (1, WireType::Varint) => seconds = reader.varint()? as i64,
                (2, WireType::Varint) => nanos = reader.varint()? as i32,
                _ => reader.skip(number, wire_type)?,
            }
        }
        write(seconds, nanos, self.out).map_err(WireError::new)
    }

    fn field_mask(&mut self, wire: &[u8]) -> Read<()> {
        self.out.push(b'"');
        let start = self.out.len();
        let mut reader = Reader::new(wire);
        while let Some((number, wire_type)) = reader.tag()? {
            if (number, wire_type) != (1, WireType::Delimited) {
                reader.skip(number, wire_type)?;
                continue;
            }
            if self.out.len() > start {
                self.out.push(b',');
            }
            let path = utf8(reader.delimited()?)?;
            wkt::write_field_mask(path, self.out).map_err(WireError::new)?;
        }
        self.out.push(b'"');
        Ok(())
    }

    /// Writes a Value: the last member of its oneof, or `null` without one.
    fn value(&mut self, plan: &MessagePlan, wire: &[u8], depth: usize) -> Read<()> {
        let (mut last, mut is_finite) = (None, true);
        let mut reader = Reader::new(wire);
        while let Some((number, wire_type)) = reader.tag()? {
            if let Some(index) = super::find(plan, number, wire_type, usize::MAX) {
                last = Some(index);
                let mut ahead = reader;
                // Only the last member counts, whatever a number before it was.
                is_finite =
                    wire_type != WireType::Fixed64 || f64::from_bits(ahead.fixed64()?).is_finite();
            }
            reader.skip(number, wire_type)?;
        }
        if !is_finite {
            return Err(WireError::new(
                "a google.protobuf.Value can't be NaN or infinite",
            ));
        }
        match last {
            Some(index) => self.only(plan, index, wire, depth, All),
            None => {
                self.out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    pub(super) fn any(&mut self, url: &str, value: &[u8], depth: usize) -> Read<()> {
        let Some((added, id)) = self.root.any_type(url) else {
            return Err(unknown_type(url));
        };
        self.out.extend_from_slice(b"{\"@type\":");
        json::put_string(url, self.out);
        self.with(added.as_deref(), |decoder| {
            let plan = decoder.types.message(id);
            // `Empty` has no fields to be confused with `@type`, so that it needs no `value`.
            if matches!(plan.shape, Shape::Object | Shape::Empty) {
                return decoder.members(plan, value, depth + 1, All);
            }
            decoder.out.extend_from_slice(b",\"value\":");
            decoder.message(id, value, depth + 1, All)
        })?;
        self.out.push(b'}');
        Ok(())
    }

    pub(super) fn named(&mut self, name: &str, wire: &[u8]) -> Read<()> {
        let Some((added, id)) = self.root.named_type(name) else {
            return Err(WireError::new("the type is not in the schema"));
        };
        self.with(added.as_deref(), |decoder| {
            decoder.message(id, wire, 0, All)
        })
    }

    /// Writes by other tables; by those of the schema where there are none.
    fn with(
        &mut self,
        tables: Option<&Tables>,
        write: impl FnOnce(&mut Decoder<'_>) -> Read<()>,
    ) -> Read<()> {
        let mut inner = Decoder {
            types: tables.unwrap_or(self.root),
            root: self.root,
            wire: self.wire,
            out: &mut *self.out,
            is_gathering: self.is_gathering,
            has_stray: false,
            texts: self.texts,
        };
        let written = write(&mut inner);
        (self.is_gathering, self.texts) = (inner.is_gathering, inner.texts);
        written
    }
}

/// The error of a message whose type the schema does not have; the type is part of its path.
#[cold]
fn unknown_type(url: &str) -> Box<WireError> {
    let end = url.char_indices().nth(MAX_SHOWN_CHARS).map(|(end, _)| end);
    let shown = url.get(..end.unwrap_or(url.len())).unwrap_or_default();
    let mut error = WireError::new("the Any's type is not in the schema");
    error.missing_type = missing_type(url);
    error.in_field(&format!("({})", shown.escape_debug()))
}

/// Type URL and value of an Any.
pub(crate) fn read_any(wire: &[u8]) -> Read<(&str, &[u8])> {
    let (mut url, mut value) = ("", &wire[..0]);
    let mut reader = Reader::new(wire);
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, WireType::Delimited) => url = utf8(reader.delimited()?)?,
            (2, WireType::Delimited) => value = reader.delimited()?,
            _ => reader.skip(number, wire_type)?,
        }
    }
    Ok((url, value))
}
