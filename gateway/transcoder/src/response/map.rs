//! Maps: entries as they come, each a message of key and value.

use std::borrow::Cow;

use descriptors::{FieldPlan, FirstKeys, Kind, MessagePlan, canonical_key, has_duplicate_key};
use wire::{Read, Reader};

use super::{Decoder, find, follows, zero};
use crate::fields::Select;

impl Decoder<'_> {
    /// Writes the map entries that began at `run`, whose first tag is read; false where two keys
    /// are equal.
    pub(super) fn map<S: Select>(
        &mut self,
        field: &FieldPlan,
        run: &[u8],
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<bool> {
        let Some(entry) = field.message().map(|id| self.types.message(id)) else {
            return reader.delimited().map(|_| true);
        };
        let start = self.out.len();
        let mut keys = FirstKeys::new();
        let mut is_unique = true;
        let mut count = 0;
        loop {
            let key = self.entry(entry, reader.delimited()?, depth, select)?;
            // A key that is written in an unusual way is left to the second look.
            if let Some(key) = key {
                is_unique &= keys.insert(key);
            }
            count += 1;
            if follows(field, reader).is_none() {
                break;
            }
        }
        self.enclose(start, b'{', b'}');
        let run = run.get(..run.len() - reader.rest.len()).unwrap_or(run);
        match entry.fields.first() {
            Some(key) if !keys.compared_all(count) => Ok(!has_duplicate_key(run, key.kind)?),
            _ => Ok(is_unique),
        }
    }

    /// Writes one map entry with a comma in front: a message of key and value, either of which may
    /// be left out where it is the default. Returns its key if it is written as usual, that is if
    /// it has both, in this order.
    pub(super) fn entry<'w, S: Select>(
        &mut self,
        plan: &MessagePlan,
        entry: &'w [u8],
        depth: usize,
        select: S,
    ) -> Read<Option<&'w [u8]>> {
        let [key_field, value_field] = plan.fields.as_slice() else {
            return Ok(None);
        };
        let start = self.out.len();
        let had_stray = self.has_stray;
        if let Some(key) = self.plain_entry(key_field, value_field, entry, depth, select)? {
            return Ok(Some(key));
        }
        self.out.truncate(start);
        self.has_stray = had_stray;
        self.unusual_entry(plan, [key_field, value_field], entry, depth, select)?;
        Ok(None)
    }

    /// Writes an entry that is key and value in this order; `None`, with something written, if it
    /// is not.
    #[inline]
    fn plain_entry<'w, S: Select>(
        &mut self,
        key: &FieldPlan,
        value: &FieldPlan,
        entry: &'w [u8],
        depth: usize,
        select: S,
    ) -> Read<Option<&'w [u8]>> {
        let Some(start) = key.tag.strip(entry) else {
            return Ok(None);
        };
        let mut reader = Reader::new(start);
        self.out.push(b',');
        self.map_key(key.kind, &mut reader)?;
        let key = match key.kind {
            Kind::String => Reader::new(start).delimited()?,
            kind => {
                let length = start.len() - reader.rest.len();
                match canonical_key(start.get(..length).unwrap_or_default(), kind)? {
                    Cow::Borrowed(key) => key,
                    Cow::Owned(_) => return Ok(None),
                }
            }
        };
        let Some(rest) = value.tag.strip(reader.rest) else {
            return Ok(None);
        };
        reader.rest = rest;
        self.singular(value, &mut reader, depth, select)?;
        Ok(reader.rest.is_empty().then_some(key))
    }

    fn unusual_entry<S: Select>(
        &mut self,
        plan: &MessagePlan,
        [key_field, value_field]: [&FieldPlan; 2],
        entry: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
        let (mut key, mut value) = (None, None);
        let mut is_plain = true;
        let mut reader = Reader::new(entry);
        while let Some((number, wire_type)) = reader.tag()? {
            let slot = match find(plan, number, wire_type, 0) {
                Some(0) => Some(&mut key),
                Some(_) => Some(&mut value),
                None => None,
            };
            if let Some(slot) = slot {
                is_plain &= slot.is_none();
                *slot = Some(reader);
            }
            reader.skip(number, wire_type)?;
        }
        self.out.push(b',');
        self.map_key(key_field.kind, &mut key.unwrap_or(zero()))?;
        match value {
            // The last scalar wins, even if its closed enum does not have it.
            Some(mut value) if is_plain || value_field.message().is_none() => self
                .singular(value_field, &mut value, depth, select)
                .map(drop),
            Some(_) => self.only(plan, 1, entry, depth, select),
            None => match value_field.message() {
                Some(id) => self.message(id, &[], depth + 1, select),
                None => self.default_scalar(value_field.kind),
            },
        }
    }

    fn map_key(&mut self, kind: Kind, key: &mut Reader<'_>) -> Read<()> {
        // These are in quotes anyway.
        let is_quoted = matches!(
            kind,
            Kind::String
                | Kind::Int64
                | Kind::Uint64
                | Kind::Sint64
                | Kind::Fixed64
                | Kind::Sfixed64
        );
        if !is_quoted {
            self.out.push(b'"');
        }
        self.scalar(kind, key)?;
        self.out
            .extend_from_slice(if is_quoted { b":" } else { b"\":" });
        Ok(())
    }
}
