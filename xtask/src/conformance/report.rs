//! The result of a suite that lists its failed cases.

use std::fmt;

use anyhow::Result;
use mesh::ui;
use serde::Serialize;

/// The result of one run of a suite.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: String,
    pub(super) run: usize,
    pub(super) passed: usize,
    pub(super) failures: Vec<Failure>,
    /// The reasons why the run has not passed.
    pub(super) problems: Vec<String>,
}

/// A failed case.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) case: String,
    /// The request; `None` where the suite itself shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<String>,
    pub(super) reason: String,
}

impl Report {
    /// Prints the report of the suite with this name.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub(super) fn tell(&self, suite: &str, json: bool) -> Result<()> {
        if json {
            ui::print(serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        for failure in &self.failures {
            ui::print(failure);
        }
        let failed = self.run.saturating_sub(self.passed);
        ui::print(format!(
            "{} run, {} passed, {failed} failed",
            self.run, self.passed
        ));
        ui::print(match self.problems.as_slice() {
            [] => format!("passed: {suite} {}", self.version),
            problems => format!("FAILED: {}", problems.join("; ")),
        });
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.case)?;
        if let Some(sent) = &self.sent {
            writeln!(formatter, "    sent  {sent}")?;
        }
        for line in self.reason.lines() {
            writeln!(formatter, "    {line}")?;
        }
        Ok(())
    }
}
