//! `cargo xtask doors`: the same orders through every way in, and the same books.

mod door;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use mesh::commands::up::asked_to_stop;
use mesh::home::Home;
use mesh::ui::{self, Ui};
use mesh::{StackOptions, cargo};
use serde::Serialize;

use crate::retail::books::Books;
use crate::retail::file::OrderFile;
use door::{DOORS, Door, Files};

/// Default file.
const EXAMPLE: &str = "examples/orders.csv";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of the doors; all of them if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The order file (CSV)
    #[arg(long, value_name = "FILE", default_value = EXAMPLE)]
    file: PathBuf,
    /// Kill each of mesh-connect, ingest, Postgres and NATS once, at a random moment of the first
    /// round
    #[arg(long)]
    kill: bool,
    /// Seed of an earlier run, to repeat the moments of its kills
    #[arg(long, requires = "kill")]
    seed: Option<u64>,
    /// Run the existing programs without a build
    #[arg(long)]
    no_build: bool,
    /// Print one JSON object per door
    #[arg(long)]
    json: bool,
}

/// The result of one door.
#[derive(Debug, Serialize)]
struct Passage {
    door: &'static str,
    /// Data rows that ingest read or that are in quarantine.
    rows: i64,
    /// Those of them that no mapping could read.
    quarantined: i64,
    accepted: i64,
    /// Seconds from the file to the last settled order, of the first round.
    seconds: f64,
    kills: usize,
    differences: Vec<String>,
}

pub(crate) async fn doors(args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let doors = chosen(&args.names)?;
    let file = OrderFile::read(&args.file)?;
    let options = StackOptions::new(&home)?;
    if !args.no_build {
        cargo::build(&home, &options.programs())?;
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let ui = Ui::detect();
    if args.kill {
        ui.note(format!("seed {seed}"));
    }
    let work = async {
        let files = Files::make(&home, &file, &doors, ui)?;
        let expected = round::uploaded(&home, &file, ui).await?;
        let mut passes = true;
        for door in doors {
            let kills = args.kill.then_some(seed);
            let row = round::through(&home, door, &files, &file, &expected, kills, ui).await;
            let row = row.with_context(|| format!("door {}, seed {seed}", door.name))?;
            passes &= row.differences.is_empty();
            match args.json {
                true => ui::print(serde_json::to_string(&row)?),
                false => ui::print(line(&row)),
            }
        }
        Ok(passes)
    };
    // The drop kills all started processes.
    let passes: Result<bool> = tokio::select! {
        passes = work => passes,
        asked = asked_to_stop() => asked.and_then(|()| bail!("stopped")),
    };
    Ok(match passes? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Door>> {
    let known = || DOORS.iter().map(|door| door.name).collect::<Vec<_>>();
    for name in names {
        ensure!(
            known().contains(&name.as_str()),
            "no door {name:?}; there are {}",
            known().join(", ")
        );
    }
    let is_chosen = |door: &&Door| names.is_empty() || names.iter().any(|name| name == door.name);
    Ok(DOORS.iter().filter(is_chosen).collect())
}

fn line(row: &Passage) -> String {
    let Passage {
        door,
        rows,
        quarantined,
        accepted,
        seconds,
        kills,
        differences,
    } = row;
    let verdict = match differences.as_slice() {
        [] => "the same books, twice".to_owned(),
        found => format!("FAILED: {}", found.join("; ")),
    };
    format!(
        "{door:12} {rows:>7} rows  {accepted:>7} accepted  {quarantined:>5} quarantined  {kills} kills  {seconds:>6.1} s  {verdict}"
    )
}

/// Returns the differences of books, but for the place at which an unreadable row is recorded: a
/// form with types has it in quarantine, a file of text in the rejections of ingest.
fn differences(expected: &Books, found: &Books, quarantined: i64) -> Vec<String> {
    let mut differences = found.problems();
    let mut compare = |what: &str, expected: String, found: String| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, got {found}"));
        }
    };
    let rejected = |books: &Books| books.rows.rejected.values().sum::<i64>();
    compare(
        "rows accepted",
        expected.rows.accepted.to_string(),
        found.rows.accepted.to_string(),
    );
    compare(
        "rows rejected or quarantined",
        rejected(expected).to_string(),
        (rejected(found) + quarantined).to_string(),
    );
    compare(
        "orders",
        format!("{:?}", expected.orders),
        format!("{:?}", found.orders),
    );
    compare(
        "returns",
        format!("{:?}", expected.returns),
        format!("{:?}", found.returns),
    );
    compare(
        "money",
        format!("{:?}", expected.money),
        format!("{:?}", found.money),
    );
    compare(
        "stock",
        format!("{:?}", expected.stock),
        format!("{:?}", found.stock),
    );
    differences
}
