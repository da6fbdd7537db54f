//! Fields that the path has set, and what the body may say of them.

use descriptors::{FieldPlan, Label, MessageId, MessagePlan, Seen, Shape};

use super::around::{check_defaults, copy_around};
use super::{Done, Encoder, Written};
use crate::error::{RequestError, Rule};

/// A field that the path has set: the body may repeat the value, not change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin<'a> {
    /// Field indices from the message at hand down to the scalar.
    pub(crate) fields: &'a [usize],
    /// Tag and value of the scalar; empty for the default of a field without presence.
    pub(crate) wire: &'a [u8],
    /// Whether another value in the body is dropped instead of rejected.
    pub(crate) is_silent: bool,
}

impl Encoder<'_> {
    /// Reads a member and drops it: the path has set another of its oneof, and wins.
    #[cold]
    pub(super) fn outdone(&mut self, field: &FieldPlan, index: usize, fields: &mut Seen) -> Done {
        if !fields.insert(index) {
            return Err(self.fail(Rule::Duplicate, "the field is set twice"));
        }
        let start = self.out.len();
        let read = self.field(field, &[]);
        self.out.truncate(start);
        read
    }

    #[cold]
    pub(super) fn pinned(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        let start = self.out.len();
        let at = self.cursor.position();
        field.tag.put(self.out);
        let (leaf, inner) = match pins {
            [pin] if pin.fields.len() == 1 => (Some(pin), &pins[..0]),
            _ => (None, pins),
        };
        match self.value(field, inner)? {
            Written::Value => {}
            Written::Default if field.label == Label::Explicit => {}
            _ => self.out.truncate(start),
        }
        if let Some(pin) = leaf {
            if !pin.is_silent && self.out.get(start..) != Some(pin.wire) {
                let failure = RequestError::new(Rule::PathConflict, "the path has another value");
                return Err(failure.offset(at));
            }
            self.out.truncate(start);
        }
        Ok(())
    }

    pub(super) fn inner(&mut self, id: MessageId, pins: &[Pin<'_>]) -> Done {
        if pins.is_empty() {
            return self.message(id, &[]);
        }
        let inner: Vec<Pin<'_>> = pins
            .iter()
            .map(|pin| Pin {
                fields: &pin.fields[1..],
                ..*pin
            })
            .collect();
        match self.types.message(id).shape {
            Shape::Object | Shape::Empty => self.message(id, &inner),
            _ => self.pinned_well_known(id, &inner),
        }
    }

    /// Reads a type whose JSON does not name its fields, some of which the path has set: what was
    /// written is compared.
    #[cold]
    fn pinned_well_known(&mut self, id: MessageId, pins: &[Pin<'_>]) -> Done {
        let at = self.cursor.position();
        let start = self.out.len();
        self.message(id, &[])?;
        let written = self.out.split_off(start);
        copy_around(self.types, id, &written, pins, self.out)
            .and_then(|()| check_defaults(self.types, id, &written, pins))
            .map_err(|failure| failure.offset(at))
    }
}

/// Returns whether the path has set another field of the same oneof, and wins without a word.
#[inline]
pub(super) fn is_outdone(plan: &MessagePlan, field: &FieldPlan, pins: &[Pin<'_>]) -> bool {
    let oneof = |pin: &Pin<'_>| plan.fields.get(*pin.fields.first()?)?.oneof;
    field.oneof.is_some()
        && pins
            .iter()
            .any(|pin| pin.is_silent && oneof(pin) == field.oneof)
}

/// Returns the pins below field `index`. Pins are sorted, so that they stand together.
#[inline]
pub(super) fn pins_of<'p, 'a>(pins: &'p [Pin<'a>], index: usize) -> &'p [Pin<'a>] {
    if pins.is_empty() {
        return pins;
    }
    let start = pins.partition_point(|pin| pin.fields[0] < index);
    let length = pins[start..].partition_point(|pin| pin.fields[0] == index);
    &pins[start..start + length]
}
