//! The key that an error of a TOML file is about.

use std::ops::Range;
use std::path::Path;

use chassis::config::ConfigError;
use descriptors::nearest;

/// Returns the error of a file as one of its key, with the line, and with the known key that was
/// probably meant.
pub(super) fn error(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match names.split_first() {
        Some((given, known)) if message.starts_with("unknown ") => {
            match nearest(given, known.iter().copied()) {
                Some(meant) => format!("; did you mean `{meant}`?"),
                None => String::new(),
            }
        }
        _ => String::new(),
    };
    let (line, key) = match error.span() {
        Some(span) => place(text, &span),
        None => (1, "*".to_owned()),
    };
    let problem = format!("{message}{hint}");
    ConfigError::new(key, problem, format!("{} line {line}", file.display()))
}

/// Returns the line, from 1, and the dotted path of the key that a span is in.
fn place(text: &str, span: &Range<usize>) -> (usize, String) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count();
    let mut table = "";
    let mut name = "";
    for (number, content) in text.lines().enumerate().take(line + 1) {
        let content = content.trim();
        if let Some(header) = content.strip_prefix('[') {
            table = header.split(']').next().unwrap_or_default().trim();
            name = "";
        } else if number == line {
            name = content.split('=').next().unwrap_or_default().trim();
        }
    }
    let key = match (table.is_empty(), name.is_empty()) {
        (true, true) => "*".to_owned(),
        (true, false) => name.to_owned(),
        (false, true) => table.to_owned(),
        (false, false) => format!("{table}.{name}"),
    };
    (line + 1, key)
}
