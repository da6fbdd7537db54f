//! Values written for absent fields.

use descriptors::{FieldPlan, Kind, Label, MessagePlan};
use wire::{Read, Reader};

use super::Decoder;
use crate::fields::Select;
use crate::options::EmitDefaults;

impl Decoder<'_> {
    /// Writes absent fields that have no presence, where that is asked for.
    #[inline]
    pub(super) fn defaults<S: Select>(
        &mut self,
        plan: &MessagePlan,
        absent: std::ops::Range<usize>,
        select: S,
    ) -> Read<()> {
        match self.types.json.emit_defaults {
            EmitDefaults::Never => Ok(()),
            mode => self.emit_defaults(plan, absent, select, mode),
        }
    }

    fn emit_defaults<S: Select>(
        &mut self,
        plan: &MessagePlan,
        absent: std::ops::Range<usize>,
        select: S,
        mode: EmitDefaults,
    ) -> Read<()> {
        for index in absent {
            let field = &plan.fields[index];
            let is_shown = match field.label {
                Label::Explicit => {
                    mode == EmitDefaults::Nulls && field.oneof.is_none() && !field.is_optional
                }
                Label::Implicit => true,
                Label::Repeated | Label::Packed | Label::Map => mode != EmitDefaults::Scalars,
            };
            if is_shown && !field.is_extension && select.field(index).is_some() {
                field.key.put(self.out);
                match field.label {
                    Label::Explicit => self.out.extend_from_slice(b"null"),
                    _ => self.default(field)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn default(&mut self, field: &FieldPlan) -> Read<()> {
        match (field.label, field.message()) {
            (Label::Repeated | Label::Packed, _) => self.out.extend_from_slice(b"[]"),
            (Label::Map, _) => self.out.extend_from_slice(b"{}"),
            (_, Some(_)) => self.out.extend_from_slice(b"null"),
            (_, None) => self.default_scalar(field.kind)?,
        }
        Ok(())
    }

    pub(super) fn default_scalar(&mut self, kind: Kind) -> Read<()> {
        match kind {
            Kind::Enum(id) => self.enumeration(id, self.types.enums[id].default_number()),
            kind => drop(self.scalar(kind, &mut zero())?),
        }
        Ok(())
    }
}

/// Reads as the default of any scalar.
pub(super) fn zero() -> Reader<'static> {
    Reader::new(&[0; 8])
}
