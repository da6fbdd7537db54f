//! `cargo mesh verify events`: disturbs the events at each crash point, and checks that nothing was
//! lost, doubled or out of order.

mod arena;
mod faults;
mod history;
mod means;
mod omissions;
mod points;
mod process;
mod proxy;
mod table;
mod visit;

use std::num::NonZeroU64;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, create_dir};
use mesh::ui::{self, Ui};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use arena::Arena;
use faults::Fault;
use points::{GROUPS, Point};
use table::{Cell, Grid};
use visit::Visit;

const SEEDS: NonZeroU64 = NonZeroU64::MIN;
const JOBS: usize = 3;
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of seeds: each visits all cells at other moments
    #[arg(long, value_name = "N", default_value_t = SEEDS)]
    seeds: NonZeroU64,
    /// First seed, to repeat an earlier run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Visit one point of each group, chosen by the seed
    #[arg(long)]
    quick: bool,
    /// Only faults with this name
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Only points whose name contains this
    #[arg(long, value_name = "TEXT")]
    point: Option<String>,
    /// Faults that are injected at the same time, each in engines of its own
    #[arg(long, value_name = "N", default_value_t = JOBS)]
    jobs: usize,
    /// Run the existing program without a build
    #[arg(long)]
    no_build: bool,
    /// Print cells and problems as JSON
    #[arg(long)]
    json: bool,
}

/// The cells to visit, and how.
#[derive(Debug)]
struct Matrix {
    home: Home,
    program: PathBuf,
    seeds: Range<u64>,
    quick: bool,
    point: Option<String>,
    is_quiet: bool,
}

pub(super) async fn events(args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    if !args.no_build {
        cargo::build_with(&home, &["fixture"], &["fixture/failpoints"])?;
    }
    let started = Instant::now();
    let mut table = Grid::new(args.quick);
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        if !args.fault.is_empty() && !args.fault.iter().any(|name| name == fault.name()) {
            continue;
        }
        match fault.is_impossible() {
            Some(reason) => table.skipped(fault, reason),
            None => faults.push(fault),
        }
    }
    ensure!(!faults.is_empty(), "no fault is left to inject");
    // A part of the matrix is for work on that part.
    let is_whole = args.fault.is_empty() && args.point.is_none();
    let plan = Matrix {
        program: cargo::binaries(&home)?.dir.join("fixture"),
        home,
        seeds: args.seed..args.seed.saturating_add(args.seeds.get()),
        quick: args.quick,
        point: args.point,
        is_quiet: args.json,
    };
    let columns = futures::stream::iter(faults).map(|fault| plan.column(fault));
    let mut columns = columns.buffer_unordered(args.jobs.max(1));
    let work = async {
        while let Some(cells) = columns.next().await {
            table.add(cells?);
        }
        Ok(())
    };
    // The drop kills all started processes.
    let worked: Result<()> = tokio::select! {
        worked = work => worked,
        asked = asked_to_stop() => asked.and_then(|()| bail!("stopped")),
    };
    worked?;
    if is_whole {
        table.unnoticed(plan.omissions().await?);
    }
    table.print(args.json, started.elapsed())
}

// === impl Matrix ===

impl Matrix {
    /// Injects one fault at all points, with all seeds.
    async fn column(&self, fault: Fault) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        let opened = fault.open(&self.home, &self.program, None).await;
        let (mut arena, mut means) = opened.with_context(|| fault.name())?;
        for seed in self.seeds.clone() {
            for (row, point) in self.rows(seed) {
                if !fault.meets(point) {
                    continue;
                }
                let started = Instant::now();
                let visit = Visit::new(fault, point, seed, cells.len());
                let cell = visit.run(&mut arena, &means, row).await;
                if !self.is_quiet {
                    ui::print(cell.line(started.elapsed()));
                }
                let is_sound = cell.problems.is_empty();
                cells.push(cell);
                if !is_sound {
                    self.keep_logs(&arena, fault, cells.len())?;
                    (arena, means) = fault.open(&self.home, &self.program, None).await?;
                }
            }
        }
        Ok(cells)
    }

    /// Returns the points that a seed visits, with the names of their rows.
    fn rows(&self, seed: u64) -> Vec<(&'static str, &'static Point)> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rows = Vec::new();
        for (group, points) in GROUPS {
            let chosen = random.random_range(0..points.len());
            let wanted = points.iter().enumerate().filter(|(place, point)| {
                let named = self.point.as_ref();
                (!self.quick || *place == chosen)
                    && named.is_none_or(|text| point.name.contains(text.as_str()))
            });
            rows.extend(wanted.map(|(_, point)| match self.quick {
                true => (group, point),
                false => (point.name, point),
            }));
        }
        rows
    }

    /// Moves the logs out of the directory that is deleted with the arena.
    fn keep_logs(&self, arena: &Arena, fault: Fault, place: usize) -> Result<()> {
        let process = std::process::id();
        let name = format!("verify-events-{}-{place}-{process}", fault.name());
        let kept = self.home.failed().join(name);
        create_dir(&self.home.failed(), 0o755)?;
        std::fs::rename(arena.ours.dir().join("logs"), &kept).context("cannot keep the logs")?;
        Ui::detect().note(format!("logs of the failed cell: {}", kept.display()));
        Ok(())
    }
}
