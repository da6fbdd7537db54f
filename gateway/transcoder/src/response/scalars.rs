//! Scalars.

use descriptors::Kind;
use wire::{Read, Reader, WireError, put_word, unzigzag};

use super::{Decoder, Texts, onward, utf8};
use crate::json;

const TRUE: u64 = u64::from_le_bytes(*b"true    ");
const FALSE: u64 = u64::from_le_bytes(*b"false   ");

impl Decoder<'_> {
    /// Writes a scalar; returns whether it is its type's default. Narrow types keep their low bits,
    /// as all implementations do with values that are too large.
    pub(super) fn scalar(&mut self, kind: Kind, reader: &mut Reader<'_>) -> Read<bool> {
        match kind {
            Kind::String => self.string(reader),
            Kind::Bytes => {
                let bytes = reader.delimited()?;
                json::put_base64(bytes, self.out);
                Ok(bytes.is_empty())
            }
            Kind::Double => {
                let bits = reader.fixed64()?;
                json::put_double(f64::from_bits(bits), self.out);
                Ok(bits == 0)
            }
            Kind::Float => {
                let bits = reader.fixed32()?;
                json::put_float(f32::from_bits(bits), self.out);
                Ok(bits == 0)
            }
            Kind::Int32 => Ok(self.signed(i64::from(reader.varint()? as i32))),
            Kind::Uint32 => Ok(self.signed(i64::from(reader.varint()? as u32))),
            Kind::Sint32 => Ok(self.signed(unzigzag(u64::from(reader.varint()? as u32)))),
            Kind::Fixed32 => Ok(self.signed(i64::from(reader.fixed32()?))),
            Kind::Sfixed32 => Ok(self.signed(i64::from(reader.fixed32()? as i32))),
            Kind::Int64 => Ok(self.quoted(reader.varint()? as i64)),
            Kind::Sint64 => Ok(self.quoted(unzigzag(reader.varint()?))),
            Kind::Sfixed64 => Ok(self.quoted(reader.fixed64()? as i64)),
            Kind::Uint64 => Ok(self.quoted_unsigned(reader.varint()?)),
            Kind::Fixed64 => Ok(self.quoted_unsigned(reader.fixed64()?)),
            Kind::Bool => {
                let value = reader.varint()? != 0;
                let (word, len) = if value { (TRUE, 4) } else { (FALSE, 5) };
                put_word(self.out, word, len);
                Ok(!value)
            }
            Kind::Enum(id) => {
                let number = reader.varint()? as i32;
                self.enumeration(id, number);
                Ok(number == 0)
            }
            Kind::Message(_) | Kind::Group(_) => Err(WireError::new("a message is not a scalar")),
        }
    }

    #[inline]
    fn signed(&mut self, value: i64) -> bool {
        json::put_signed(value, self.out);
        value == 0
    }

    /// 64-bit integers are strings in JSON.
    #[inline]
    fn quoted(&mut self, value: i64) -> bool {
        json::put_quoted_integer(value < 0, value.unsigned_abs(), self.out);
        value == 0
    }

    #[inline]
    fn quoted_unsigned(&mut self, value: u64) -> bool {
        json::put_quoted_integer(false, value, self.out);
        value == 0
    }

    #[inline]
    pub(super) fn string(&mut self, reader: &mut Reader<'_>) -> Read<bool> {
        let (bytes, len) = reader.delimited_and_more()?;
        if !json::put_text(onward(self.wire, bytes), len, self.out) {
            self.beyond_ascii(bytes.get(..len).unwrap_or(bytes))?;
        }
        Ok(len == 0)
    }

    /// Takes note of text that has to be UTF-8.
    #[inline]
    fn beyond_ascii(&mut self, text: &[u8]) -> Read<()> {
        match self.texts {
            Texts::Each => utf8(text).map(drop),
            _ => {
                self.texts = Texts::Unchecked;
                Ok(())
            }
        }
    }

    #[inline]
    pub(super) fn enumeration(&mut self, id: usize, number: i32) {
        let plan = &self.types.enums[id];
        let is_named = !self.types.json.enums_as_numbers;
        match plan.quoted_name(number) {
            _ if plan.is_null => self.out.extend_from_slice(b"null"),
            Some(name) if is_named => name.put(self.out),
            None if plan.is_closed => self.has_stray = true,
            _ => json::put_signed(i64::from(number), self.out),
        }
    }
}
