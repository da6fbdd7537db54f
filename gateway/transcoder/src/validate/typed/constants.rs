//! Values that rules name, read from option bytes together with the words for them.

pub(super) use super::super::table::Constant;
use super::super::{
    options::OptionFields,
    pieces::{Elements, Piece},
    value::{self, Value},
};
use crate::{
    plan::Kind,
    wire::{Read, WireType},
    wkt,
};

/// How the constants of a rule are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    Scalar(Kind),
    Duration,
    Timestamp,
}

/// A constant and how people read it.
pub(super) struct Shown {
    value: Constant,
    text: String,
}

/// The texts of a repeated field.
pub(super) fn texts(rules: &OptionFields<'_>, number: u32) -> Vec<Box<str>> {
    rules
        .all(number)
        .map(|(_, raw)| String::from_utf8_lossy(raw).into())
        .collect()
}

// === impl Shown ===

impl Shown {
    pub(super) fn into_parts(self) -> (Constant, String) {
        (self.value, self.text)
    }
}

// === impl Reading ===

impl Reading {
    /// The value of a singular rule.
    pub(super) fn last(
        self,
        rules: &OptionFields<'_>,
        number: u32,
    ) -> Result<Option<Shown>, String> {
        match self {
            Reading::Scalar(_) => rules.bytes(number).map(|raw| self.read(raw)).transpose(),
            _ => rules.message(number).map(|raw| self.read(&raw)).transpose(),
        }
    }

    /// The values of a repeated rule, packed or not.
    pub(super) fn list(
        self,
        rules: &OptionFields<'_>,
        number: u32,
    ) -> Result<(Vec<Constant>, String), String> {
        let mut found = Vec::new();
        for (wire_type, raw) in rules.all(number) {
            match self {
                Reading::Scalar(kind) => {
                    let piece = Piece {
                        field: 0,
                        is_packed: kind.is_packable() && wire_type == WireType::Delimited,
                        raw,
                    };
                    for element in Elements::new(piece, kind) {
                        found.push(self.read(element.map_err(|error| error.to_string())?)?);
                    }
                }
                _ => found.push(self.read(raw)?),
            }
        }
        let (values, texts): (Vec<_>, Vec<_>) = found.into_iter().map(Shown::into_parts).unzip();
        Ok((values, texts.join(", ")))
    }

    pub(super) fn read(self, raw: &[u8]) -> Result<Shown, String> {
        let shown = match self {
            Reading::Scalar(kind) => scalar(kind, raw),
            Reading::Duration => time(raw, wkt::write_duration),
            Reading::Timestamp => time(raw, wkt::write_timestamp),
        };
        shown.map_err(|error| format!("a constant is malformed: {}", error.description))
    }
}

fn scalar(kind: Kind, raw: &[u8]) -> Read<Shown> {
    let value = value::decode(kind, raw)?;
    let (constant, text) = match value {
        Value::Bool(value) => (Constant::Bool(value), value.to_string()),
        Value::Int(number) => (Constant::Int(number), number.to_string()),
        // Shortest in the type of the field.
        Value::Real(number) if kind == Kind::Float => {
            (Constant::Real(number), (number as f32).to_string())
        }
        Value::Real(number) => (Constant::Real(number), number.to_string()),
        Value::Text(text) => {
            let shown = format!("`{}`", String::from_utf8_lossy(text));
            (Constant::Bytes(text.into()), shown)
        }
        other => {
            let bytes = other.bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (Constant::Bytes(bytes.into()), format!("0x{hex}"))
        }
    };
    Ok(Shown {
        value: constant,
        text,
    })
}

type Write = fn(i64, i32, &mut Vec<u8>) -> Result<(), &'static str>;

fn time(raw: &[u8], write: Write) -> Read<Shown> {
    let malformed = |_| crate::error::WireError::new("not a message");
    let fields = OptionFields::parse(raw).map_err(malformed)?;
    let seconds = fields.varint(1).unwrap_or(0) as i64;
    let nanos = fields.varint(2).unwrap_or(0) as i32;
    let mut text = Vec::new();
    write(seconds, nanos, &mut text).map_err(crate::error::WireError::new)?;
    Ok(Shown {
        value: Constant::Int(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)),
        text: String::from_utf8_lossy(&text).trim_matches('"').to_owned(),
    })
}
