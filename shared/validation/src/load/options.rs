//! Option bytes taken apart by field number, without a descriptor of `buf/validate/validate.proto`.

use wire::{Reader, WireType};

/// The fields of one option message, in the order of the wire.
#[derive(Debug, Default)]
pub(crate) struct OptionFields<'a> {
    fields: Vec<(u32, WireType, &'a [u8])>,
}

/// The extension of `FieldOptions`, `OneofOptions` and `MessageOptions` that holds the rules.
pub(crate) const RULES: u32 = 1159;

/// Returns the rules among raw option bytes. Several pieces of one message merge by concatenation.
pub(crate) fn rules_of(options: &[u8]) -> Result<Option<Vec<u8>>, String> {
    OptionFields::parse(options).map(|fields| fields.message(RULES))
}

// === impl OptionFields ===

impl<'a> OptionFields<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        let mut read = || {
            while let Some((number, wire_type)) = reader.tag()? {
                let raw = reader.value(number, wire_type)?;
                fields.push((number, wire_type, raw));
            }
            Ok(())
        };
        read().map_err(|error: Box<wire::WireError>| {
            format!("the option's bytes are malformed: {}", error.description)
        })?;
        Ok(OptionFields { fields })
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.fields.iter().map(|(number, ..)| *number)
    }

    /// Returns all occurrences of a field.
    pub(crate) fn all(&self, number: u32) -> impl DoubleEndedIterator<Item = (WireType, &'a [u8])> {
        let wanted = self.fields.iter().filter(move |field| field.0 == number);
        wanted.map(|(_, wire_type, raw)| (*wire_type, *raw))
    }

    /// Returns the content of a submessage; `None` where it is not there.
    pub(crate) fn message(&self, number: u32) -> Option<Vec<u8>> {
        let mut pieces = self.all(number).map(|(_, raw)| raw).peekable();
        pieces.peek()?;
        Some(pieces.collect::<Vec<_>>().concat())
    }

    pub(crate) fn varint(&self, number: u32) -> Option<u64> {
        let (_, raw) = self.all(number).next_back()?;
        Reader::new(raw).varint().ok()
    }

    pub(crate) fn flag(&self, number: u32) -> bool {
        self.varint(number).is_some_and(|value| value != 0)
    }

    pub(crate) fn bytes(&self, number: u32) -> Option<&'a [u8]> {
        self.all(number).next_back().map(|(_, raw)| raw)
    }

    pub(crate) fn text(&self, number: u32) -> Option<&'a str> {
        str::from_utf8(self.bytes(number)?).ok()
    }
}
