//! Decoded records as JSON text and back, so that a record in quarantine can be mapped again.
//!
//! Values that JSON doesn't have are objects of one member: `{"$time": "2010-12-01T08:26:00Z"}`,
//! `{"$local": …}`, `{"$date": …}`, `{"$float": "0.5"}`, `{"$bytes": "00ff"}`.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use formats::{Kind, Record, Settings, Value};

/// Longest text of a record that is kept, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Format of local times.
const LOCAL: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// Returns a value as JSON text.
pub(crate) fn encoded(value: &Value) -> String {
    let mut out = String::new();
    put(value, &mut out);
    out
}

/// Returns the text of a record that is kept; `None` if it is too long.
pub(super) fn kept(value: &Value) -> Option<String> {
    Some(encoded(value)).filter(|text| text.len() <= MAX_BYTES)
}

/// Reads the record of a JSON object.
///
/// # Errors
/// The text is no JSON object, in words.
pub(crate) fn decoded(text: &str) -> Result<Record, String> {
    // One line is one record.
    let line = text.replace(['\n', '\r'], " ");
    let reader = Settings::new(Kind::Ndjson).read(std::io::Cursor::new(line.into_bytes()));
    let mut reader = reader.map_err(|refusal| refusal.to_string())?;
    let mut record = match reader.next() {
        Some(Ok(Ok(record))) => record,
        Some(Ok(Err(flaw))) => return Err(format!("{}: {}", flaw.rule, flaw.value)),
        Some(Err(refusal)) => return Err(refusal.to_string()),
        None => return Err("it is empty".to_owned()),
    };
    record.value = tagged(record.value)?;
    match record.value {
        Value::Map(_) => Ok(record),
        _ => Err("expected an object".to_owned()),
    }
}

fn put(value: &Value, out: &mut String) {
    let tag = |out: &mut String, name: &str, text: &str| {
        let _ = write!(out, "{{\"${name}\":{}}}", quoted(text));
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Decimal(text) => out.push_str(text),
        Value::Float(value) => tag(out, "float", &value.to_string()),
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            tag(out, "bytes", &digits);
        }
        Value::Time(time) => tag(out, "time", &time.to_rfc3339()),
        Value::Local(time) => tag(out, "local", &time.format(LOCAL).to_string()),
        Value::Date(date) => tag(out, "date", &date.to_string()),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                put(item, out);
            }
            out.push(']');
        }
        Value::Map(fields) => {
            out.push('{');
            for (at, (name, field)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(name));
                out.push(':');
                put(field, out);
            }
            out.push('}');
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces the objects that stand for values which JSON doesn't have.
fn tagged(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::List(items) => {
            let items: Result<_, String> = items.into_iter().map(tagged).collect();
            Value::List(items?)
        }
        Value::Map(fields) => match &fields[..] {
            [(name, Value::Text(text))] if name.starts_with('$') => special(name, text)?,
            _ => {
                let fields = fields.into_iter();
                let fields: Result<Vec<(Arc<str>, Value)>, String> = fields
                    .map(|(name, field)| Ok((name, tagged(field)?)))
                    .collect();
                Value::Map(fields?)
            }
        },
        other => other,
    })
}

fn special(name: &str, text: &str) -> Result<Value, String> {
    let value = match name {
        "$time" => {
            let time = DateTime::parse_from_rfc3339(text).ok();
            time.map(|time| Value::Time(time.with_timezone(&Utc)))
        }
        "$local" => NaiveDateTime::parse_from_str(text, LOCAL)
            .ok()
            .map(Value::Local),
        "$date" => text.parse::<NaiveDate>().ok().map(Value::Date),
        "$float" => text.parse().ok().map(Value::Float),
        "$bytes" => bytes(text).map(Value::Bytes),
        _ => return Err(format!("no value is named `{name}`")),
    };
    value.ok_or_else(|| format!("`{name}`: invalid value"))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|_| pair.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let text = |text: &str| Value::Text(text.to_owned());
        let local = NaiveDateTime::parse_from_str("2010-12-01T08:26:00.5", LOCAL).unwrap();
        let time = DateTime::parse_from_rfc3339("2010-12-01T08:26:00+01:00").unwrap();
        let value = Value::Map(vec![
            ("a \"b\"\n".into(), text("c\u{1}\\")),
            ("null".into(), Value::Null),
            ("bool".into(), Value::Bool(true)),
            ("int".into(), Value::Int(i64::MIN)),
            (
                "decimal".into(),
                Value::Decimal("0.10000000000000000001".into()),
            ),
            ("float".into(), Value::Float(-0.1)),
            ("infinite".into(), Value::Float(f64::INFINITY)),
            ("bytes".into(), Value::Bytes(vec![0, 255])),
            ("time".into(), Value::Time(time.with_timezone(&Utc))),
            ("local".into(), Value::Local(local)),
            ("date".into(), Value::Date(local.date())),
            (
                "list".into(),
                Value::List(vec![
                    Value::Int(1),
                    Value::Map(vec![("x".into(), Value::Null)]),
                ]),
            ),
        ]);
        assert_eq!(decoded(&encoded(&value)).unwrap().value, value);
    }

    #[test]
    fn what_is_no_object_is_refused_in_words() {
        for wrong in [
            "",
            "1",
            "[1]",
            "{",
            "{\"a\":{\"$date\":\"soon\"}}",
            "{\"a\":{\"$x\":\"1\"}}",
            "{\"a\":1} {\"a\":2}",
        ] {
            let error = decoded(wrong).unwrap_err();
            assert!(!error.is_empty(), "{wrong}");
        }
    }
}
