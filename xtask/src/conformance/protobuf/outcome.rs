//! Parses the output of the runner.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// Result of one run of the suite.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct EditionResult {
    pub(super) maximum_edition: String,
    /// Number of passed and failed cases.
    pub(super) run: usize,
    pub(super) passed: usize,
    /// Number of skipped binary and JSON cases.
    pub(super) skipped: usize,
    /// Number of text format cases, a suite that the runner starts after the first one has passed.
    pub(super) text_format_skipped: usize,
    pub(super) failures: Vec<FailedCase>,
}

/// A failed case.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FailedCase {
    pub(super) case: String,
    pub(super) reason: String,
    /// Request and response in protobuf's text format.
    pub(super) request: String,
    pub(super) response: String,
}

const VERDICT: &str = "CONFORMANCE SUITE ";
const FAILED: &str = "ERROR, test=";
/// Most characters shown of one message.
const SHOWN: usize = 1_000;

impl EditionResult {
    /// Reads the report of a run.
    ///
    /// # Errors
    /// Without a verdict, or when counts and listed failures differ.
    pub(super) fn parse(edition: &str, report: &str) -> Result<Self> {
        let mut verdicts = report.lines().filter_map(|line| line.strip_prefix(VERDICT));
        let verdict = verdicts.next();
        let verdict = SuiteCounts::parse(verdict.with_context(|| format!("no {VERDICT:?}"))?)?;
        let text_format = verdicts.next().map(SuiteCounts::parse).transpose()?;
        let text_format = text_format.unwrap_or_default();
        let failures: Vec<FailedCase> = report.lines().filter_map(FailedCase::parse).collect();
        let failed = verdict.failed + text_format.failed;
        if failed != failures.len() {
            bail!(
                "{failed} failures are counted, and {} listed",
                failures.len()
            );
        }
        Ok(Self {
            maximum_edition: edition.to_owned(),
            run: verdict.passed + verdict.failed,
            passed: verdict.passed,
            skipped: verdict.skipped,
            text_format_skipped: text_format.skipped,
            failures,
        })
    }
}

/// Counts of one suite.
#[derive(Debug, Default)]
struct SuiteCounts {
    passed: usize,
    skipped: usize,
    failed: usize,
}

impl SuiteCounts {
    fn parse(line: &str) -> Result<Self> {
        let count = |what: &str| count(line, what).with_context(|| format!("{line:?}"));
        Ok(Self {
            passed: count(" successes")?,
            skipped: count(" skipped")?,
            // Failures would be expected by a list; none is given.
            failed: count(" expected failures")? + count(" unexpected failures")?,
        })
    }
}

/// Returns the number before `what`.
fn count(verdict: &str, what: &str) -> Option<usize> {
    let mut parts = verdict.split([':', ',']);
    let digits = parts.find_map(|part| part.trim_end_matches('.').strip_suffix(what))?;
    digits.trim().parse().ok()
}

// === impl FailedCase ===

impl FailedCase {
    fn parse(line: &str) -> Option<Self> {
        let (case, rest) = line.strip_prefix(FAILED)?.split_once(": ")?;
        let (reason, rest) = rest.split_once(", request=").unwrap_or((rest, ""));
        let (request, response) = rest.split_once(", response=").unwrap_or((rest, ""));
        Some(Self {
            case: case.to_owned(),
            reason: reason.trim().to_owned(),
            request: readable(request),
            response: readable(response),
        })
    }
}

/// Removes the printer's marker and repeated spaces, and cuts long text.
fn readable(text: &str) -> String {
    let words = text
        .split_whitespace()
        .filter(|word| !word.starts_with("goo.gle/"));
    let text = words.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

impl fmt::Display for FailedCase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.case)?;
        writeln!(formatter, "    {}", self.reason)?;
        writeln!(formatter, "    sent  {}", self.request)?;
        writeln!(formatter, "    got   {}", self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "
CONFORMANCE TEST BEGIN ====================================

ERROR, test=Required.Proto3.JsonInput.A.JsonOutput: Failed to parse input or produce output., request=goo.gle/debugstr   json_payload: \"{\\\"a\\\": 1}\" requested_output_format: JSON, response=goo.gle/debugstr   parse_error: \"no\"

CONFORMANCE SUITE FAILED: 2815 successes, 2 skipped, 0 expected failures, 1 unexpected failures.

CONFORMANCE TEST BEGIN ====================================

CONFORMANCE SUITE PASSED: 0 successes, 445 skipped, 0 expected failures, 0 unexpected failures.
";

    #[test]
    fn a_report_is_taken_apart() {
        let outcome = EditionResult::parse("PROTO3", REPORT).unwrap();
        let failure = FailedCase {
            case: "Required.Proto3.JsonInput.A.JsonOutput".to_owned(),
            reason: "Failed to parse input or produce output.".to_owned(),
            request: r#"json_payload: "{\"a\": 1}" requested_output_format: JSON"#.to_owned(),
            response: r#"parse_error: "no""#.to_owned(),
        };
        let expected = EditionResult {
            maximum_edition: "PROTO3".to_owned(),
            run: 2816,
            passed: 2815,
            skipped: 2,
            text_format_skipped: 445,
            failures: vec![failure],
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_run_without_a_verdict_is_no_outcome() {
        let broken_off = REPORT.replace("CONFORMANCE SUITE", "");
        assert!(EditionResult::parse("PROTO3", &broken_off).is_err());
        let miscounted = REPORT.replace("1 unexpected", "3 unexpected");
        assert!(EditionResult::parse("PROTO3", &miscounted).is_err());
    }
}
