//! `cargo mesh verify`: kills processes of a separate mesh and checks its books.

mod compare;
pub(crate) mod doors;
mod events;
mod kills;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mesh::Stack;
use mesh::commands::events::{self as desk, Desk};
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, StateDir, create_dir};
use mesh::project::GATEWAY;
use mesh::ui::{self, Ui};
use mesh::{StackOptions, cargo};
use serde::Serialize;
use tokio::sync::watch;

use crate::retail::books::Books;
use crate::retail::file::OrderFile;
use crate::retail::progress::Progress;
use crate::retail::{self, Settings};
use kills::{Kill, Plan};

/// Default file.
const EXAMPLE: &str = "examples/orders.csv";
/// Shortest upload without `--rate`: seven processes are killed and restarted in this time.
const UPLOAD_SECONDS: u64 = 45;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Kills every process once while orders run, and compares the books with those of a separate
    /// program
    Orders(Args),
    /// Disturbs the events at each step (kill, restart, partition, restore of older data, …), and
    /// checks that no fact was lost, doubled or out of order
    Events(events::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Order files (CSV); examples/orders.csv if none is named
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Seed of an earlier run, to repeat the order and moments of its kills
    #[arg(long)]
    seed: Option<u64>,
    /// Most uploaded bytes per second; by default, the upload lasts 45 s
    #[arg(long, value_name = "BYTES")]
    rate: Option<NonZeroU64>,
    /// Run the existing programs without a build
    #[arg(long)]
    no_build: bool,
    /// Print kills, books and verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Verdict {
    seed: u64,
    kills: Vec<Kill>,
    /// Number of resumed uploads.
    uploads_resumed: u32,
    books: Books,
    differences: Vec<String>,
}

pub(super) async fn verify(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Orders(args) => orders(args).await,
        Verb::Events(args) => events::events(args).await,
    }
}

async fn orders(mut args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    if args.files.is_empty() {
        args.files.push(home.root().join(EXAMPLE));
    }
    let files = OrderFile::read_all(&args.files)?;
    let ui = Ui::detect();
    let options = StackOptions::new(&home)?;
    if !args.no_build {
        cargo::build(&home, &options.programs())?;
    }
    let plan = Plan::new(args.seed.unwrap_or_else(rand::random), options.chosen());
    ui.note(format!("seed {}", plan.seed));
    let work = async {
        let stack = Stack::launch(&home, StateDir::scratch(&home)?, options, ui).await?;
        let verdict = disturbed(&home, &stack, &files, &plan, &args).await;
        if !matches!(&verdict, Ok(verdict) if verdict.differences.is_empty()) {
            keep_logs(&home, &stack, plan.seed)?;
        }
        let verdict = verdict.with_context(|| format!("seed {}", plan.seed))?;
        stack.shutdown().await?;
        Ok(verdict)
    };
    // The drop kills all started processes.
    let verdict: Result<Verdict> = tokio::select! {
        verdict = work => verdict,
        asked = asked_to_stop() => asked.and_then(|()| bail!("stopped")),
    };
    tell(&verdict?, args.json)
}

async fn disturbed(
    home: &Home,
    stack: &Stack,
    files: &[OrderFile],
    plan: &Plan,
    args: &Args,
) -> Result<Verdict> {
    let size: u64 = files.iter().map(|file| file.size).sum();
    let settings = Settings {
        rate: args.rate.or(NonZeroU64::new(size.div_ceil(UPLOAD_SECONDS))),
        ..Settings::default()
    };
    let (progress, observed) = watch::channel(Progress::none());
    let workload = kills::Workload::of(files);
    let gateway = stack.address(GATEWAY)?;
    // Quiet: bars would overwrite the lines about kills.
    let flow = retail::run(gateway, files, &settings, Ui::Quiet, &progress);
    let report = |kill: &Kill| {
        if !args.json {
            ui::print(kill);
        }
    };
    let kills = kills::run(stack, plan, workload, observed, report);
    let (outcome, kills) = tokio::try_join!(flow, kills)?;
    if outcome.resumed == 0 {
        bail!("no upload was interrupted: slow it with --rate");
    }
    let parked = desk::parked(&Desk::of(stack)?).await?;
    if !parked.is_empty() {
        bail!("events were parked:\n{}", desk::table(&parked));
    }
    let mut differences = outcome.books.problems();
    differences.extend(compare::differences(home, files, &settings, &outcome.books).await?);
    let (progress, _unobserved) = watch::channel(Progress::none());
    let again = retail::run(gateway, files, &settings, Ui::Quiet, &progress).await?;
    if again.books != outcome.books {
        differences.push("running the same files again changed the books".to_owned());
    }
    Ok(Verdict {
        seed: plan.seed,
        kills,
        uploads_resumed: outcome.resumed,
        books: outcome.books,
        differences,
    })
}

fn tell(verdict: &Verdict, json: bool) -> Result<ExitCode> {
    let agree = verdict.differences.is_empty();
    if json {
        ui::print(serde_json::to_string_pretty(verdict)?);
    } else if agree {
        ui::print(format!(
            "passed: {} processes were killed, uploads went on {} times, and the books are those of the files (seed {})",
            verdict.kills.len(),
            verdict.uploads_resumed,
            verdict.seed
        ));
    } else {
        ui::print(format!(
            "FAILED (seed {}):\n  {}",
            verdict.seed,
            verdict.differences.join("\n  ")
        ));
    }
    Ok(if agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Moves the logs out of the directory that is deleted with the stack.
fn keep_logs(home: &Home, stack: &Stack, seed: u64) -> Result<()> {
    let kept = home
        .failed()
        .join(format!("verify-{seed}-{}", std::process::id()));
    create_dir(&home.failed(), 0o755)?;
    std::fs::rename(stack.dir().join("logs"), &kept).context("cannot keep the logs")?;
    Ui::detect().note(format!("logs of the failed run: {}", kept.display()));
    Ok(())
}
