//! `mesh check`: the mistakes of contracts and migrations, and what breaks those who use them,
//! without a build. Consumers that have recorded their expectations are named.

mod baseline;
mod consumers;
mod report;
mod schemas;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use compatibility::{BreakingChange, breaking_changes, breaking_facts};
use compiler::{Checked, Compiled, Contract, Sources, listed};

use crate::ui::{self, Ui};
use report::{Broken, Report};

/// The directory of contracts, unless another is named.
const DEFAULT: &str = "proto";
/// The exit code of a command line that can't be carried out.
const USAGE: u8 = 2;

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if there is no mistake, 1 if there is one, 2 if nothing could be checked."
)]
pub struct Args {
    /// Directories, to which imports are relative, or .proto files [default: proto]
    #[arg(value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Also look imports up in this directory; may be repeated
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,
    /// Also find what breaks callers and stored events since a git revision, a descriptor set or a
    /// directory; since a revision, also migrations that programs of then could not bear
    #[arg(long, value_name = "REF|FILE|DIR")]
    against: Option<String>,
    /// Fail if a method says nothing about who may call it (`mesh.v1.access`)
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Checks contracts, and prints what it finds.
pub(super) fn check(args: &Args) -> ExitCode {
    match run(args) {
        Ok(report) => {
            let text = match args.json {
                true => report.json(),
                false => report.text(),
            };
            ui::print(text.trim_end());
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            ui::print_error(&error);
            ExitCode::from(USAGE)
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let paths = match args.paths.as_slice() {
        [] if !Path::new(DEFAULT).is_dir() => bail!(
            "there is no directory `{DEFAULT}` here; name the one with the contracts: `mesh check DIR`"
        ),
        [] => vec![PathBuf::from(DEFAULT)],
        paths => paths.to_vec(),
    };
    let compiled = compile(&paths, &args.include)?;
    let checked = compiled.check();
    let broken = match &args.against {
        None => Vec::new(),
        Some(against) => {
            let before = baseline::read(against, &paths, &args.include)?;
            broken(&before, &compiled, &checked)?
        }
    };
    let mut report = Report {
        files: compiled.file_count,
        mistakes: checked.mistakes,
        warnings: checked.warnings,
        broken,
    };
    if compiled.problems.is_empty() {
        report
            .mistakes
            .extend(consumers::felt(&compiled.descriptor_set)?);
    }
    report
        .mistakes
        .extend(schemas::review(args.against.as_deref())?);
    match args.strict {
        true => report.mistakes.extend(checked.unruled),
        false => report.warnings.extend(checked.unruled),
    }
    Ok(report)
}

fn compile(paths: &[PathBuf], includes: &[PathBuf]) -> Result<Compiled> {
    let sources = Sources::new(paths).import_hint("`--include DIR`");
    let sources = includes
        .iter()
        .fold(sources, |sources, dir| sources.include(dir));
    Ok(sources.compile()?)
}

/// Returns what is broken since `before`. Files that don't compile would look like removed ones.
fn broken(before: &Contract, compiled: &Compiled, checked: &Checked) -> Result<Vec<Broken>> {
    let Some(after) = checked
        .contract
        .as_ref()
        .filter(|_| compiled.problems.is_empty())
    else {
        Ui::detect().note("not compared: mend the mistakes first");
        return Ok(Vec::new());
    };
    let everything = |_: &str| true;
    let [was, is] = [before, after].map(|contract| compatibility::Contract {
        descriptor_set: &contract.descriptor_set,
        types: &contract.types,
        routes: &contract.routes,
        validation: &contract.validation,
        is_served: &everything,
    });
    let mut found: Vec<Broken> = Vec::new();
    let outcomes = [
        ("callers", breaking_changes(was, is)?),
        ("events", breaking_facts(was, is)?),
    ];
    for (victims, changes) in outcomes {
        for change in changes {
            match found.iter_mut().find(|known| known.change == change) {
                Some(known) => known.breaks.push(victims),
                None => found.push(placed(change, victims, after, compiled)),
            }
        }
    }
    found.sort_by(|one, other| one.place().cmp(&other.place()));
    Ok(found)
}

fn placed(
    change: BreakingChange,
    victims: &'static str,
    after: &Contract,
    compiled: &Compiled,
) -> Broken {
    // A definition that is gone is in no line, unless it was within another.
    let place = after.place(&change.element);
    Broken {
        file: match place {
            Some(place) => place.file.to_string(),
            None => compiled.path(&change.file).display().to_string(),
        },
        line: place.and_then(|place| place.line),
        column: place.and_then(|place| place.column),
        breaks: vec![victims],
        change,
    }
}
