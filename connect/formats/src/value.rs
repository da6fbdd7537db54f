//! Records and their values, as all formats give them.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use crate::error::Place;

/// A value of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// No value: `null`, an empty cell of a sheet.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number, as it was written and by the grammar of JSON: nothing is rounded.
    Decimal(Box<str>),
    /// A number that its format holds as a float.
    Float(f64),
    /// Text. In CSV and XML all values are.
    Text(String),
    /// Bytes that are not text.
    Bytes(Vec<u8>),
    /// A moment.
    Time(DateTime<Utc>),
    /// A local time whose zone the format doesn't know.
    Local(NaiveDateTime),
    /// A date.
    Date(NaiveDate),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name, in the order of the format; no name is there twice.
    Map(Vec<(Arc<str>, Value)>),
}

/// A record that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Number in the unit, from 1; a header is not counted, a flawed record is.
    pub number: u64,
    /// Where it begins.
    pub place: Place,
    /// Its columns or fields, mostly a [`Value::Map`].
    pub value: Value,
    /// The beginning of the record as the format has it, at most
    /// [`MAX_RAW_BYTES`](crate::limits::MAX_RAW_BYTES).
    pub raw: Vec<u8>,
}

// === impl Value ===

impl Value {
    /// Returns the value of this name, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(fields) => fields
                .iter()
                .find(|(own, _)| &**own == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns whether it counts as absent: null, or an empty text.
    pub fn is_absent(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// Returns the value as text for a person: numbers as written, times as in ISO 8601, lists and
    /// maps by their kind.
    pub fn shown(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Decimal(text) => text.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::Time(time) => time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
            Value::Local(time) => time.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
            Value::Date(date) => date.format("%Y-%m-%d").to_string(),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(fields) => format!("an object of {} fields", fields.len()),
        }
    }
}
