//! The problems that a descriptor set may have, each with the place that it is about.

use std::fmt;

use strsim::osa_distance;

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
    match nearest(written, candidates) {
        Some(name) => format!("; did you mean '{name}'?"),
        None => String::new(),
    }
}

/// Returns the candidate that differs in the fewest characters, case aside: inserted, removed,
/// replaced or swapped ones (optimal string alignment), at most a third of `written` and 3.
pub fn nearest<'n>(
    written: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let most = (written.chars().count() / 3).clamp(1, 3);
    let written = written.to_ascii_lowercase();
    let distances = candidates
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| (osa_distance(&written, &name.to_ascii_lowercase()), name));
    let nearest = distances.min().filter(|(distance, _)| *distance <= most);
    nearest.map(|(_, name)| name)
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
