//! The errors of the compiler as problems with file, line and column.

use std::path::Path;

use descriptors::{Problem, did_you_mean};
use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::standard;

/// The text of a missing import begins and ends so, as `protox` writes it.
const MISSING_IMPORT: (&str, &str) = ("import '", "' not found");

/// Advice about a missing import.
#[derive(Clone, Copy)]
pub(crate) struct ImportHint<'a> {
    /// How to add a directory.
    pub(crate) add: &'a str,
    /// Directories in which the import was looked up.
    pub(crate) tried: &'a [&'a Path],
}

/// An error of the compiler, with what it says about all errors of one file.
#[derive(Clone, Copy)]
struct Context<'a> {
    file: Option<&'a str>,
    source: Option<&'a dyn SourceCode>,
    hint: ImportHint<'a>,
}

/// Returns every problem that an error of the compiler holds.
pub(crate) fn problems(error: &protox::Error, hint: ImportHint<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    let context = Context {
        file: error.file(),
        source: error.source_code(),
        hint,
    };
    add(error, context, &mut found);
    found
}

fn add(error: &dyn Diagnostic, context: Context<'_>, found: &mut Vec<Problem>) {
    let place = place(error, context.source);
    found.push(Problem {
        file: context.file.unwrap_or_default().to_owned(),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        element: String::new(),
        reason: reason(error, context.hint),
    });
    for related in error.related().into_iter().flatten() {
        add(related, context, found);
    }
}

/// Returns where the label of what was found is, or else the last one: of a name that is declared
/// twice, the second declaration.
fn place(error: &dyn Diagnostic, source: Option<&dyn SourceCode>) -> Option<(u32, u32)> {
    let labels: Vec<LabeledSpan> = error.labels()?.collect();
    let is_found =
        |label: &&LabeledSpan| label.label().is_some_and(|text| text.starts_with("found"));
    let label = labels.iter().find(is_found).or(labels.last())?;
    let content = source?.read_span(label.inner(), 0, 0).ok()?;
    let from_one = |index: usize| u32::try_from(index + 1).ok();
    Some((from_one(content.line())?, from_one(content.column())?))
}

fn reason(error: &dyn Diagnostic, hint: ImportHint<'_>) -> String {
    let mut text = error.to_string();
    let (start, end) = MISSING_IMPORT;
    let import = text
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end));
    if let Some(import) = import {
        return missing(import, hint);
    }
    if let Some(inner) = error.diagnostic_source() {
        return format!("{text}: {inner}");
    }
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    match error.help() {
        Some(help) => format!("{text}; {help}"),
        None => text,
    }
}

fn missing(import: &str, hint: ImportHint<'_>) -> String {
    let meant = did_you_mean(import, standard::names());
    let tried: Vec<String> = hint
        .tried
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    let tried = tried.join(", ");
    let advice = match meant.is_empty() {
        true => format!("; add the directory that it is relative to: {}", hint.add),
        false => meant,
    };
    format!("import \"{import}\" is neither in {tried} nor a standard file{advice}")
}
