//! One record of CSV.

/// One record; its fields are unquoted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(super) text: &'a [u8],
    /// Where each field ends in it.
    pub(super) ends: &'a [usize],
    /// Its bytes in the text.
    pub(crate) raw: &'a [u8],
    /// Why it has no fields.
    pub(crate) fault: Option<Fault>,
    /// Line where it begins, from 1.
    pub(crate) line: u64,
    /// Bytes of the text before it.
    pub(crate) offset: u64,
}

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A record that is too long.
    TooLarge,
    /// Too many fields.
    TooManyFields,
    /// A quote that is not closed within the bounds of a record.
    UnterminatedQuote,
}

// === impl Row ===

impl<'a> Row<'a> {
    /// Returns the number of fields.
    pub(crate) fn width(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of a field; none if there is no such field.
    pub(crate) fn field(&self, place: usize) -> &'a [u8] {
        let start = match place.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
        };
        let end = self.ends.get(place);
        end.and_then(|&end| self.text.get(start..end))
            .unwrap_or_default()
    }
}
