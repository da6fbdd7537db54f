//! Collects the problems of a descriptor set, so that one load reports all.

use super::source::FileId;
use crate::error::{CompileError, MAX_PROBLEMS, Problem};

/// The problems so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    files: Vec<Box<str>>,
    problems: Vec<(FileId, Problem)>,
    omitted: usize,
    pub(super) notes: Vec<Problem>,
}

/// The place of a fault: file, line, element.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) file: FileId,
    pub(super) line: Option<u32>,
    pub(super) element: &'a str,
}

// === impl Report ===

impl Report {
    /// The files are known by their names from here on, in this order.
    pub(super) fn add_file(&mut self, name: &str) {
        self.files.push(name.into());
    }

    pub(super) fn problem(&mut self, at: At<'_>, reason: impl Into<String>) {
        if self.problems.len() == MAX_PROBLEMS {
            self.omitted += 1;
        } else {
            let problem = self.describe(at, reason.into());
            self.problems.push((at.file, problem));
        }
    }

    pub(super) fn note(&mut self, at: At<'_>, reason: impl Into<String>) {
        let note = self.describe(at, reason.into());
        self.notes.push(note);
    }

    /// `file:line` of another definition.
    pub(super) fn place(&self, file: FileId, line: Option<u32>) -> String {
        let name = self.files.get(file).map_or("", |name| &**name);
        line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
    }

    /// Returns the notes, if there is nothing worse.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, CompileError> {
        if self.problems.is_empty() {
            return Ok(self.notes);
        }
        self.problems
            .sort_by_key(|(file, problem)| (*file, problem.line));
        let mut problems: Vec<Problem> = self.problems.into_iter().map(|(_, p)| p).collect();
        if self.omitted > 0 {
            problems.push(Problem {
                file: String::new(),
                line: None,
                column: None,
                element: String::new(),
                reason: format!("{} more problems", self.omitted),
            });
        }
        Err(CompileError { problems })
    }

    fn describe(&self, at: At<'_>, reason: String) -> Problem {
        Problem {
            file: self.place(at.file, None),
            line: at.line,
            column: None,
            element: at.element.to_owned(),
            reason,
        }
    }
}
