//! Lists: elements one by one or in packed runs.

use descriptors::{FieldPlan, Kind, follows};
use wire::{Read, Reader};

use super::Decoder;
use crate::fields::Select;
use crate::json;

impl Decoder<'_> {
    /// Writes the elements whose first tag is read; returns whether there were none.
    pub(super) fn list<S: Select>(
        &mut self,
        field: &FieldPlan,
        mut is_run: bool,
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<bool> {
        let start = self.out.len();
        loop {
            self.elements(field, is_run, reader, depth, select)?;
            match follows(field, reader) {
                Some(next) => is_run = next,
                None => break,
            }
        }
        let is_empty = self.out.len() == start;
        self.enclose(start, b'[', b']');
        Ok(is_empty)
    }

    /// Writes one element or a packed run of them, each with a comma in front.
    #[inline]
    pub(super) fn elements<S: Select>(
        &mut self,
        field: &FieldPlan,
        is_run: bool,
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<()> {
        if !is_run {
            let start = self.out.len();
            self.out.push(b',');
            self.singular(field, reader, depth, select)?;
            if std::mem::take(&mut self.has_stray) {
                self.out.truncate(start);
            }
            return Ok(());
        }
        self.run(field.kind, Reader::new(reader.delimited()?))
    }

    fn run(&mut self, kind: Kind, mut run: Reader<'_>) -> Read<()> {
        while !run.rest.is_empty() {
            let start = self.out.len();
            self.out.push(b',');
            match kind {
                Kind::Double => json::put_double(f64::from_bits(run.fixed64()?), self.out),
                kind => drop(self.scalar(kind, &mut run)?),
            }
            if std::mem::take(&mut self.has_stray) {
                self.out.truncate(start);
            }
        }
        Ok(())
    }
}
