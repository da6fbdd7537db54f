//! Values that rules name, read from option bytes together with the words for them.

pub(crate) use crate::rules::table::Constant;

use descriptors::Kind;
use wire::{Read, WireError, WireType};

use crate::load::options::OptionFields;
use crate::pieces::{Elements, Piece};
use crate::rules::value::{self, Value};

/// How the constants of a rule are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    Scalar(Kind),
    Duration,
    Timestamp,
}

/// A constant and how people read it.
pub(crate) struct Shown {
    value: Constant,
    text: String,
}

/// Returns the texts of a repeated field.
pub(crate) fn texts(rules: &OptionFields<'_>, number: u32) -> Vec<Box<str>> {
    rules
        .all(number)
        .map(|(_, raw)| String::from_utf8_lossy(raw).into())
        .collect()
}

// === impl Shown ===

impl Shown {
    pub(crate) fn into_parts(self) -> (Constant, String) {
        (self.value, self.text)
    }
}

// === impl Reading ===

impl Reading {
    /// Returns the value of a singular rule.
    pub(crate) fn last(
        self,
        rules: &OptionFields<'_>,
        number: u32,
    ) -> Result<Option<Shown>, String> {
        match self {
            Reading::Scalar(_) => rules.bytes(number).map(|raw| self.read(raw)).transpose(),
            _ => rules.message(number).map(|raw| self.read(&raw)).transpose(),
        }
    }

    /// Returns the values of a repeated rule, packed or not.
    pub(crate) fn list(
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

    pub(crate) fn read(self, raw: &[u8]) -> Result<Shown, String> {
        let shown = match self {
            Reading::Scalar(kind) => scalar(kind, raw),
            Reading::Duration => duration(raw),
            Reading::Timestamp => timestamp(raw),
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
            (Constant::Bytes(bytes.into()), hex)
        }
    };
    Ok(Shown {
        value: constant,
        text,
    })
}

/// Ten thousand years, the bound of `seconds` in `duration.proto`.
const DURATION_SECONDS: u64 = 315_576_000_000;
/// `0001-01-01T00:00:00Z` and `9999-12-31T23:59:59Z`, in seconds of the Unix epoch.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

fn duration(raw: &[u8]) -> Read<Shown> {
    time(raw, |seconds, nanos| {
        let is_in_range = seconds.unsigned_abs() <= DURATION_SECONDS
            && nanos.unsigned_abs() < 1_000_000_000
            && seconds.signum() * i64::from(nanos.signum()) >= 0;
        let text = || prost_types::Duration { seconds, nanos }.to_string();
        is_in_range.then(text).ok_or("duration is out of range")
    })
}

fn timestamp(raw: &[u8]) -> Read<Shown> {
    time(raw, |seconds, nanos| {
        let is_in_range =
            TIMESTAMP_SECONDS.contains(&seconds) && (0..1_000_000_000).contains(&nanos);
        let text = || prost_types::Timestamp { seconds, nanos }.to_string();
        is_in_range
            .then(text)
            .ok_or("timestamp is not within the years 1 to 9999")
    })
}

fn time(raw: &[u8], text: impl Fn(i64, i32) -> Result<String, &'static str>) -> Read<Shown> {
    let malformed = |_| WireError::new("not a message");
    let fields = OptionFields::parse(raw).map_err(malformed)?;
    let seconds = fields.varint(1).unwrap_or(0) as i64;
    let nanos = fields.varint(2).unwrap_or(0) as i32;
    Ok(Shown {
        value: Constant::Int(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)),
        text: text(seconds, nanos).map_err(WireError::new)?,
    })
}
