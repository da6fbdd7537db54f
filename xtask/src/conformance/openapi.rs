//! OpenAPI documents against the specification's official validator, their examples against their
//! schemas, and what they allow against a running gateway.

mod library;
mod schemathesis;
mod validator;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::Home;
use mesh::os::said;
use mesh::ui::{self, Ui};
use serde::Serialize;

use schemathesis::DialectRun;
use validator::{CheckResult, Validator};

/// Source of a document: directories of the checkout, and files in the first one.
struct DocumentSource {
    name: &'static str,
    includes: &'static [&'static str],
    /// Files; all if empty.
    files: &'static [&'static str],
    /// Least number of operations and examples: fewer mean that some are missing.
    operations: usize,
    examples: usize,
}

const SOURCES: [DocumentSource; 2] = [
    DocumentSource {
        name: "the contracts of the mesh",
        includes: &[
            "proto",
            "shared/compiler/proto",
            "shared/compiler/third_party",
        ],
        files: &[],
        operations: 20,
        examples: 0,
    },
    DocumentSource {
        name: "a contract with everything",
        includes: &["shared/samples/proto", "shared/compiler/third_party"],
        files: &["openapi.proto"],
        operations: 14,
        examples: 15,
    },
];

#[derive(Debug, Serialize)]
struct Validation {
    validator: String,
    documents: Vec<Document>,
    runs: Vec<DialectRun>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Document {
    name: &'static str,
    #[serde(flatten)]
    outcome: CheckResult,
}

/// Writes and checks the documents, and sends what they allow to the gateway; returns whether all
/// is as it should be.
pub(super) async fn openapi(ui: Ui, json: bool) -> Result<bool> {
    let home = Home::find()?;
    let validator = Validator::ensure(&home, ui)?;
    let program = cargo::build_example(&home, "protomesh-openapi", "openapi")?;
    let work = tempfile::tempdir()?;
    let mut documents = Vec::new();
    for source in &SOURCES {
        let step = ui.step(format!("checking {}", source.name));
        let text = write(&home, &program, source)?;
        let path = work.path().join("openapi.json");
        std::fs::write(&path, text)?;
        let outcome = validator.check(&path)?;
        documents.push(Document {
            name: source.name,
            outcome,
        });
        step.done();
    }
    let runs = tokio::select! {
        runs = schemathesis::run(&home, ui) => runs?,
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped");
        }
    };
    let mut problems = problems(&documents);
    problems.extend(runs.iter().filter_map(DialectRun::problem));
    let report = Validation {
        validator: validator.packages.version,
        problems,
        documents,
        runs,
    };
    tell(&report, json)?;
    Ok(report.problems.is_empty())
}

/// Writes the document of one source.
fn write(home: &Home, program: &Path, source: &DocumentSource) -> Result<String> {
    let checkout = home.root();
    let mut files: Vec<String> = source.files.iter().map(ToString::to_string).collect();
    let root = source.includes.first().copied().unwrap_or_default();
    if files.is_empty() {
        files = protos(&checkout.join(root))?;
    }
    let mut command = Command::new(program);
    command.current_dir(checkout).args([source.name, "1"]);
    command.args(source.includes).arg("--").args(files);
    said(&mut command).with_context(|| format!("no document of {}", source.name))
}

/// Returns all proto files below a directory by relative path, sorted.
fn protos(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries =
            std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|name| name == "proto") {
                let name = path.strip_prefix(root).unwrap_or(&path);
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the problems of the documents.
fn problems(documents: &[Document]) -> Vec<String> {
    let mut problems = Vec::new();
    for (document, source) in documents.iter().zip(&SOURCES) {
        let (name, outcome) = (document.name, &document.outcome);
        if !outcome.failures.is_empty() {
            problems.push(format!("{name}: {} faults", outcome.failures.len()));
        }
        let counts = [
            ("operations", outcome.operations, source.operations),
            ("examples", outcome.examples, source.examples),
        ];
        for (what, found, least) in counts {
            if found < least {
                problems.push(format!(
                    "{name}: {found} {what}, which is less than {least}"
                ));
            }
        }
    }
    problems
}

fn tell(report: &Validation, json: bool) -> Result<()> {
    if json {
        ui::print(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for document in &report.documents {
        for failure in &document.outcome.failures {
            ui::print(format!("{}: {failure}", document.name));
        }
    }
    let header = ["document", "operations", "schemas", "examples", "faults"];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(report.documents.iter().map(|document| {
        let CheckResult {
            operations,
            schemas,
            examples,
            failures,
        } = &document.outcome;
        let counts = [*operations, *schemas, *examples, failures.len()];
        let counts = counts.iter().map(usize::to_string);
        std::iter::once(document.name.to_owned())
            .chain(counts)
            .collect()
    }));
    ui::print(ui::table(&rows));
    let mut rows = vec![
        ["dialect", "cases", "differences"]
            .map(String::from)
            .to_vec(),
    ];
    for run in &report.runs {
        if !run.failures.is_empty() {
            ui::print(format!("{}: {}", run.dialect, run.failures));
        }
        let found = if run.failures.is_empty() {
            "none"
        } else {
            "see above"
        };
        rows.push(vec![
            run.dialect.to_owned(),
            run.cases.to_string(),
            found.to_owned(),
        ]);
    }
    ui::print(ui::table(&rows));
    ui::print(match report.problems.as_slice() {
        [] => format!("passed: {}", report.validator),
        problems => format!("FAILED: {}", problems.join("; ")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(operations: usize, failures: &[&str]) -> CheckResult {
        CheckResult {
            operations,
            schemas: 1,
            examples: 15,
            failures: failures.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn faults_and_lost_operations_are_problems() {
        let documents = |outcome: fn() -> CheckResult| {
            SOURCES.each_ref().map(|source| Document {
                name: source.name,
                outcome: outcome(),
            })
        };
        assert_eq!(problems(&documents(|| outcome(20, &[]))), [""; 0]);
        assert_eq!(problems(&documents(|| outcome(20, &["x"]))).len(), 2);
        assert_eq!(problems(&documents(|| outcome(19, &[]))).len(), 1);
    }
}
