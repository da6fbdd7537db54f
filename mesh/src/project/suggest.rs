//! Names for people: lists, and the one that was probably meant.

use descriptors::nearest;

/// Returns `did you mean …?` in parentheses, or nothing.
pub(crate) fn hint(given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(name) => format!(" (did you mean `{name}`?)"),
        None => String::new(),
    }
}

/// Adds the key that was probably meant to the error of an unknown one.
pub(super) fn with_suggestion(error: toml::de::Error) -> anyhow::Error {
    let message = error.message().to_owned();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match names.split_first() {
        Some((given, known)) if message.starts_with("unknown ") => hint(given, known),
        _ => String::new(),
    };
    // The error names the line and shows it; ends with a line break.
    anyhow::anyhow!("{}{hint}", error.to_string().trim_end())
}

/// Returns names separated by commas.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
