//! Reads lines of logs: text or JSON of services, and the formats of Postgres and NATS.

use serde::Serialize;
use serde_json::{Map, Value};

/// Levels, and the words by which processes name them.
const LEVELS: [(&str, &[&str]); 5] = [
    (
        "ERROR",
        &["ERROR", "ERROR:", "FATAL:", "PANIC:", "[ERR]", "[FTL]"],
    ),
    ("WARN", &["WARN", "WARNING:", "[WRN]"]),
    ("INFO", &["INFO", "LOG:", "NOTICE:", "[INF]"]),
    ("DEBUG", &["DEBUG", "[DBG]"]),
    ("TRACE", &["TRACE", "[TRC]"]),
];

/// One line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LogLine {
    pub(crate) process: String,
    /// RFC 3339; that of the line before for a line without one.
    pub(crate) at: String,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`; empty if unknown.
    pub(crate) level: String,
    pub(crate) text: String,
}

/// Reads a line; `None` for an empty one.
pub(super) fn parse(line: &str) -> Option<LogLine> {
    let line = line.trim_end();
    if line.is_empty() {
        return None;
    }
    if line.starts_with('{')
        && let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line)
    {
        return Some(of_json(fields));
    }
    let Some((at, rest)) = split_time(line) else {
        return Some(LogLine {
            text: line.to_owned(),
            ..LogLine::default()
        });
    };
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let (level, text) = match level(word) {
        Some(level) => (level, after.trim_start()),
        None => ("", rest),
    };
    Some(LogLine {
        process: String::new(),
        at,
        level: level.to_owned(),
        text: text.to_owned(),
    })
}

/// Takes time, level and message out of the fields; the others follow the message.
fn of_json(mut fields: Map<String, Value>) -> LogLine {
    let mut take = |key: &str| fields.remove(key).map_or_else(String::new, shown);
    let (at, named, target) = (take("timestamp"), take("level"), take("target"));
    let mut text = take("message");
    for (key, value) in fields {
        text += &format!(" {key}={}", shown(value));
    }
    if !target.is_empty() {
        text = format!("{target}: {}", text.trim_start());
    }
    LogLine {
        process: String::new(),
        at,
        level: level(&named).unwrap_or_default().to_owned(),
        text,
    }
}

fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Splits the time off, and the process id of Postgres and of NATS.
fn split_time(line: &str) -> Option<(String, &str)> {
    // 2026-01-31T10:00:00.123456Z INFO …
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    if first.get(10..11) == Some("T") && is_date(first, b'-') {
        return Some((first.to_owned(), rest.trim_start()));
    }
    // [42] 2026/01/31 10:00:00.123456 [INF] …
    if first.starts_with('[') {
        let (date, rest) = rest.split_once(' ')?;
        let (time, rest) = rest.split_once(' ')?;
        let at = || format!("{}T{time}Z", date.replace('/', "-"));
        return is_date(date, b'/').then(|| (at(), rest));
    }
    // 2026-01-31 10:00:00.123 UTC [42] LOG:  …
    let (time, rest) = rest.split_once(" UTC [")?;
    let (_, rest) = rest.split_once("] ")?;
    is_date(first, b'-').then(|| (format!("{first}T{time}Z"), rest))
}

fn is_date(text: &str, separator: u8) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    bytes.len() >= 10
        && bytes.iter().take(4).all(is_digit)
        && [bytes.get(4), bytes.get(7)] == [Some(&separator); 2]
}

fn level(word: &str) -> Option<&'static str> {
    let found = LEVELS.iter().find(|(_, words)| words.contains(&word));
    found.map(|(level, _)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (String, String, String) {
        let line = parse(line).unwrap();
        (line.at, line.level, line.text)
    }

    fn expected(at: &str, level: &str, text: &str) -> (String, String, String) {
        (at.to_owned(), level.to_owned(), text.to_owned())
    }

    #[test]
    fn services_postgres_and_nats_are_read_alike() {
        let at = "2026-01-31T10:00:00.123456Z";
        assert_eq!(
            parts("2026-01-31T10:00:00.123456Z  WARN orders: process died code=1"),
            expected(at, "WARN", "orders: process died code=1")
        );
        let json = r#"{"timestamp":"2026-01-31T10:00:00.123456Z","level":"WARN","target":"orders","message":"process died","code":1}"#;
        assert_eq!(
            parts(json),
            expected(at, "WARN", "orders: process died code=1")
        );
        assert_eq!(
            parts("[42] 2026/01/31 10:00:00.123456 [ERR] no space"),
            expected(at, "ERROR", "no space")
        );
        assert_eq!(
            parts("2026-01-31 10:00:00.123 UTC [42] LOG:  ready"),
            expected("2026-01-31T10:00:00.123Z", "INFO", "ready")
        );
        assert_eq!(
            parts("2026-01-31 10:00:00.123 UTC [42] DETAIL:  full"),
            expected("2026-01-31T10:00:00.123Z", "", "DETAIL:  full")
        );
    }

    #[test]
    fn a_line_of_another_format_is_kept_as_it_is() {
        for line in [
            "thread 'main' panicked",
            "[no time]",
            "{not json",
            "  indented",
            "ä 2026",
        ] {
            assert_eq!(parts(line), expected("", "", line));
        }
        assert_eq!(parse("  "), None);
    }
}
