//! Values of fields, put together from all their pieces.

use std::ops::Range;

use descriptors::Kind;
use wire::Read;

use super::Walk;
use crate::check::compose::composed;
use crate::rules::table::Form;
use crate::rules::value::{self, Value};

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Returns the value that the pieces amount to.
    pub(crate) fn value(&self, kind: Kind, form: Form, range: Range<usize>) -> Read<Value<'a>> {
        match form {
            Form::Scalar => self.scalar(kind, range),
            _ => {
                let pieces = self.pieces.get(range).unwrap_or_default();
                composed(form, pieces.iter().map(|piece| piece.raw))
            }
        }
    }

    /// Returns a scalar: of several, the last one counts.
    pub(crate) fn scalar(&self, kind: Kind, range: Range<usize>) -> Read<Value<'a>> {
        match self.pieces.get(range).unwrap_or_default() {
            [.., last] => value::decode(kind, last.raw),
            [] => Ok(value::default(kind)),
        }
    }
}
