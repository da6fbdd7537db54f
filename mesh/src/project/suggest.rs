//! Names for people: lists, and the one that was probably meant.

use descriptors::nearest;

/// Returns `did you mean …?` in parentheses, or nothing.
pub(crate) fn hint(given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(name) => format!(" (did you mean `{name}`?)"),
        None => String::new(),
    }
}

/// Returns names separated by commas.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
