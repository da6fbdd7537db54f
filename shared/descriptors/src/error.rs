//! The problems that a descriptor set may have, each with the place that it is about.

use std::fmt;

/// Bytes of a file's package name, as in protoc: each enclosing package is one more entry in the
/// table of names.
pub(crate) const MAX_PACKAGE_BYTES: usize = 511;

/// Problems that one load reports; further ones are counted, as one broken file easily breaks all
/// that use it.
pub const MAX_PROBLEMS: usize = 1000;

/// Every problem of a descriptor set that can't be compiled.
#[derive(Debug, thiserror::Error)]
#[error("{} problem(s) in the descriptor set: {}", problems.len(), list(problems))]
pub struct CompileError {
    /// All problems found, in the order of the files.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}

/// One fault of a descriptor set, or a remark about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the proto file; empty when the set could not be read at all.
    pub file: String,
    /// Line in that file, counted from one, where the set was compiled with source information.
    pub line: Option<u32>,
    /// Column in that line, counted from one, where it is known.
    pub column: Option<u32>,
    /// Full name of the definition; empty for the file as a whole.
    pub element: String,
    /// The reason for rejecting the set, or the remark.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            formatter.write_str(&self.file)?;
            if let Some(line) = self.line {
                write!(formatter, ":{line}")?;
                if let Some(column) = self.column {
                    write!(formatter, ":{column}")?;
                }
            }
            formatter.write_str(": ")?;
        }
        if !self.element.is_empty() {
            write!(formatter, "{}: ", self.element)?;
        }
        formatter.write_str(&self.reason)
    }
}

/// Returns `; did you mean 'name'?` with the candidate that differs in the fewest characters, or
/// nothing where none is near.
pub fn did_you_mean<'n>(written: &str, candidates: impl IntoIterator<Item = &'n str>) -> String {
    let most = (written.chars().count() / 3).clamp(1, 3);
    let distances = candidates
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| (distance(written, name), name));
    match distances.min().filter(|(distance, _)| *distance <= most) {
        Some((_, name)) => format!("; did you mean '{name}'?"),
        None => String::new(),
    }
}

/// Returns how many characters are to be inserted, removed, replaced or swapped with the next one
/// (optimal string alignment), case aside.
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.to_ascii_lowercase().chars().collect() };
    let (one, other) = (letters(one), letters(other));
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (at, own) in one.iter().enumerate() {
        let mut row = vec![at + 1];
        for (to, theirs) in other.iter().enumerate() {
            let replaced = last[to] + usize::from(own != theirs);
            let mut least = replaced.min(last[to + 1] + 1).min(row[to] + 1);
            let is_swapped = at > 0 && to > 0 && one[at - 1] == *theirs && *own == other[to - 1];
            if is_swapped {
                let swapped: &usize = &before[to - 1];
                least = least.min(swapped + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_slip_is_answered_by_the_nearest_name_and_another_word_by_none() {
        let names = ["ticket_id", "title", "", "id"];
        let cases = [
            ("tickt_id", "; did you mean 'ticket_id'?"),
            ("ticketId", "; did you mean 'ticket_id'?"),
            ("Title", "; did you mean 'title'?"),
            ("titel", "; did you mean 'title'?"),
            ("i", "; did you mean 'id'?"),
            ("owner", ""),
            ("", ""),
        ];
        for (written, told) in cases {
            assert_eq!(did_you_mean(written, names), told, "{written}");
        }
    }
}
