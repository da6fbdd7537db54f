//! Lists and maps.

use std::borrow::Cow;

use descriptors::{FieldPlan, FirstKeys, Kind, Label, MessageId, has_duplicate_key};
use wire::{close, close_wide, open, open_wide};

use super::{Done, Encoder, Written};
use crate::error::{Failure, Rule};
use crate::scalar;

impl Encoder<'_> {
    #[inline(never)]
    pub(super) fn list(&mut self, field: &FieldPlan) -> Done {
        self.begin_array()?;
        match (field.label, field.kind) {
            (Label::Packed, _) => self.run(field),
            (_, Kind::Message(id)) => self.messages(field, id),
            _ => self.elements(field),
        }
    }

    fn messages(&mut self, field: &FieldPlan, id: MessageId) -> Done {
        let mut width = 1;
        let mut index = 0;
        while self.cursor.next_element(index == 0)? {
            field.tag.put(self.out);
            let at = open_wide(self.out, width);
            self.refuse_null(field.kind)
                .and_then(|()| self.message(id, &[]))
                .map_err(|failure| failure.at_index(index))?;
            width = close_wide(self.out, at, width);
            index += 1;
        }
        Ok(())
    }

    fn elements(&mut self, field: &FieldPlan) -> Done {
        let mut index = 0;
        while self.cursor.next_element(index == 0)? {
            if self.short(field) {
                index += 1;
                continue;
            }
            let start = self.out.len();
            field.tag.put(self.out);
            let written = self.element(field);
            if written.map_err(|failure| failure.at_index(index))? == Written::Nothing {
                self.out.truncate(start);
            }
            index += 1;
        }
        Ok(())
    }

    fn run(&mut self, field: &FieldPlan) -> Done {
        let start = self.out.len();
        field.tag.put(self.out);
        let at = open(self.out);
        let mut index = 0;
        while self.cursor.next_element(index == 0)? {
            if self.short_element(field.kind) {
                index += 1;
                continue;
            }
            let end = self.out.len();
            match self.element(field) {
                Ok(Written::Nothing) => self.out.truncate(end),
                Ok(_) => {}
                Err(failure) => return Err(failure.at_index(index)),
            }
            index += 1;
        }
        if self.out.len() == at + 1 {
            self.out.truncate(start);
        } else {
            close(self.out, at);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn element(&mut self, field: &FieldPlan) -> Done<Written> {
        self.refuse_null(field.kind)?;
        self.value(field, &[])
    }

    #[inline]
    fn refuse_null(&mut self, kind: Kind) -> Done {
        if self.cursor.is_next(b'n') && !self.takes_null(kind) {
            // Anything but `null` is reported by another rule.
            let mut ahead = self.cursor;
            ahead.literal("null")?;
            return Err(self.fail(
                Rule::InvalidValue,
                "null can't be an element of a list or map",
            ));
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn map(&mut self, field: &FieldPlan) -> Done {
        self.begin_object()?;
        let start = self.out.len();
        let entry = field.message().map(|id| &self.types.message(id).fields);
        let Some([key_field, value_field]) = entry.map(Vec::as_slice) else {
            return Err(self.fail(Rule::InvalidValue, "the map's entry type is malformed"));
        };
        let mut keys = FirstKeys::new();
        let mut count = 0;
        while self.cursor.next_member(count == 0)? {
            count += 1;
            let key = self.cursor.key()?;
            if let Cow::Borrowed(key) = key
                && is_canonical(key_field.kind, key)
                && !keys.insert(key.as_bytes())
            {
                return Err(self.duplicate_key());
            }
            let entry = self.out.len();
            field.tag.put(self.out);
            let at = open(self.out);
            key_field.tag.put(self.out);
            scalar::put_text(self.types, key_field.kind, &key, self.out)
                .map_err(|reason| self.fail(Rule::InvalidValue, reason).at_key(&key))?;
            value_field.tag.put(self.out);
            let written = self.element(value_field);
            match written.map_err(|failure| failure.at_key(&key))? {
                Written::Nothing => self.out.truncate(entry),
                _ => close(self.out, at),
            }
        }
        if keys.compared_all(count) {
            return Ok(());
        }
        match has_duplicate_key(self.out.get(start..).unwrap_or_default(), key_field.kind) {
            Ok(false) => Ok(()),
            _ => Err(self.duplicate_key()),
        }
    }

    #[cold]
    pub(super) fn duplicate_key(&self) -> Failure {
        self.fail(Rule::Duplicate, "duplicate key in a map")
    }
}

/// Returns whether no other text denotes the same key.
#[inline]
fn is_canonical(kind: Kind, key: &str) -> bool {
    match kind {
        Kind::String | Kind::Bool => true,
        _ => key.bytes().all(|b| b.is_ascii_digit() || b == b'-') && key != "-0",
    }
}
