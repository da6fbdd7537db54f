//! Names for people: lists, and the one that was probably meant.

/// Least similarity of a suggestion, from 0 to 1.
const SIMILAR: f64 = 0.7;

/// Returns the name that `given` is most likely a slip of.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let similarity = |name: &str| strsim::jaro_winkler(given, name);
    let scored = known.iter().map(|name| (similarity(name), *name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= SIMILAR).then_some(best.1)
}

/// Returns `did you mean …?` in parentheses, or nothing.
pub(crate) fn hint(given: &str, known: &[&str]) -> String {
    match nearest(given, known) {
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
