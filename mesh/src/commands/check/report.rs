//! The result of a check, as lines and as JSON.

use std::fmt::Write;

use compatibility::BreakingChange;
use compiler::{MAX_LISTED, Problem};
use serde_json::{Value, json};

/// Everything that a check has found.
pub(super) struct Report {
    /// Number of files that were checked.
    pub(super) files: usize,
    pub(super) mistakes: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) broken: Vec<Broken>,
}

/// A change that breaks somebody, and where it is.
pub(super) struct Broken {
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    /// The victims: `callers`, `events`; empty for a change that breaks nobody.
    pub(super) breaks: Vec<&'static str>,
    pub(super) change: BreakingChange,
}

// === impl Report ===

impl Report {
    /// Returns whether there is nothing to mend.
    pub(super) fn is_clean(&self) -> bool {
        self.mistakes.is_empty() && self.broken.is_empty()
    }

    /// Returns lines as compilers write them, then the totals.
    pub(super) fn text(&self) -> String {
        let mistakes = self.mistakes.iter().map(|own| line(own, "error"));
        let broken = self.broken.iter().map(Broken::line);
        let warnings = self.warnings.iter().map(|own| line(own, "warning"));
        let mut text = String::new();
        for lines in [
            &mut mistakes.take(MAX_LISTED) as &mut dyn Iterator<Item = String>,
            &mut broken.take(MAX_LISTED),
            &mut warnings.take(MAX_LISTED),
        ] {
            lines.for_each(|line| text.push_str(&line));
        }
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "{}: {}, {}, {}",
            counted(self.files, "file"),
            counted(self.mistakes.len(), "mistake"),
            counted(self.broken.len(), "breaking change"),
            counted(self.warnings.len(), "warning"),
        );
        match self.omitted() {
            0 => {}
            omitted => {
                let _ = write!(text, " ({omitted} not listed)");
            }
        }
        text
    }

    /// Returns one object, whose keys stay as they are.
    pub(super) fn json(&self) -> String {
        let problem = |own: &Problem| {
            json!({
                "file": own.file, "line": own.line, "column": own.column,
                "element": own.element, "message": own.reason,
            })
        };
        let problems =
            |all: &[Problem]| -> Vec<Value> { all.iter().take(MAX_LISTED).map(problem).collect() };
        let broken = self.broken.iter().take(MAX_LISTED).map(Broken::json);
        let report = json!({
            "files": self.files,
            "mistakes": problems(&self.mistakes),
            "breaking": broken.collect::<Vec<_>>(),
            "warnings": problems(&self.warnings),
            "omitted": self.omitted(),
        });
        format!("{report:#}")
    }

    fn omitted(&self) -> usize {
        let counts = [self.mistakes.len(), self.broken.len(), self.warnings.len()];
        let more = counts
            .into_iter()
            .map(|count| count.saturating_sub(MAX_LISTED));
        more.sum()
    }
}

// === impl Broken ===

impl Broken {
    pub(super) fn place(&self) -> (&str, Option<u32>, Option<u32>) {
        (&self.file, self.line, self.column)
    }

    fn message(&self) -> String {
        let BreakingChange {
            rule,
            before,
            after,
            ..
        } = &self.change;
        let (rule, advice) = (rule.as_str(), rule.advice());
        let breaks = match self.breaks.join(" and ") {
            nobody if nobody.is_empty() => nobody,
            breaks => format!(", which breaks {breaks}"),
        };
        format!("{rule}: {before} → {after}{breaks}; {advice}")
    }

    /// Returns the change as a problem like others.
    pub(super) fn into_problem(self) -> Problem {
        let reason = self.message();
        Problem {
            file: self.file,
            line: self.line,
            column: self.column,
            element: self.change.element,
            reason,
        }
    }

    fn line(&self) -> String {
        let problem = Problem {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            element: self.change.element.clone(),
            reason: self.message(),
        };
        line(&problem, "error")
    }

    fn json(&self) -> Value {
        let change = &self.change;
        json!({
            "file": self.file, "line": self.line, "column": self.column,
            "element": change.element, "rule": change.rule.as_str(),
            "before": change.before, "after": change.after,
            "breaks": self.breaks, "message": self.message(),
        })
    }
}

/// Returns `file:line:column: severity: element: reason`, which editors and CI read.
fn line(problem: &Problem, severity: &str) -> String {
    let mut text = problem.file.clone();
    for part in [problem.line, problem.column].into_iter().flatten() {
        let _ = write!(text, ":{part}");
    }
    let element = match problem.element.as_str() {
        "" => String::new(),
        element => format!("{element}: "),
    };
    format!("{text}: {severity}: {element}{}\n", problem.reason)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
