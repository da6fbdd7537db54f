//! The variables of expressions: those of a record, and those of a request.

use cel::engine::common::types::{CelBool, CelInt, CelString};
use cel::engine::common::value::CowVal;
use cel::{Type, Variables};
use formats::Record;

use crate::values::Fields;

/// The variables that expressions may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `row`, `number`, `id`, `unit`, `source`: one record.
    Record,
    /// `source`, `unit`, `first`, `last`, `complete`: a request for several records.
    Batch,
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Identity of the unit.
    pub unit: &'a str,
    /// Identity of the record.
    pub id: &'a str,
}

/// The records of one request.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Identity of the unit.
    pub unit: &'a str,
    /// Number of the first record.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// The unit ends with it.
    pub complete: bool,
}

/// Variables of one record.
pub(crate) struct RecordScope<'a> {
    pub(crate) row: Fields<'a>,
    pub(crate) record: &'a Record,
    pub(crate) origin: &'a Origin<'a>,
}

// === impl Scope ===

impl Scope {
    /// Returns the variables and their types; `row` has columns of this type.
    pub(crate) fn variables(self, column: Type) -> Vec<(&'static str, Type)> {
        let mut all = vec![("source", Type::String), ("unit", Type::String)];
        match self {
            Scope::Record => {
                let row = Type::Map(Box::new(Type::String), Box::new(column));
                all.extend([("row", row), ("number", Type::Int), ("id", Type::String)]);
            }
            Scope::Batch => all.extend([
                ("first", Type::Int),
                ("last", Type::Int),
                ("complete", Type::Bool),
            ]),
        }
        all
    }
}

impl Variables for RecordScope<'_> {
    fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(match name {
            "row" => CowVal::Borrowed(&self.row),
            "number" => CowVal::owned(CelInt::from(self.record.number as i64)),
            "id" => CowVal::owned(CelString::from(self.origin.id)),
            "unit" => CowVal::owned(CelString::from(self.origin.unit)),
            "source" => CowVal::owned(CelString::from(self.origin.source)),
            _ => return None,
        })
    }
}

impl Variables for Batch<'_> {
    fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(match name {
            "unit" => CowVal::owned(CelString::from(self.unit)),
            "source" => CowVal::owned(CelString::from(self.source)),
            "first" => CowVal::owned(CelInt::from(self.first as i64)),
            "last" => CowVal::owned(CelInt::from(self.last as i64)),
            "complete" => CowVal::owned(CelBool::from(self.complete)),
            _ => return None,
        })
    }
}
