//! Kills processes at random moments of the work, and checks that work was going on.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh::Stack;
use mesh::State;
use mesh::project::{ENGINES, GATEWAY, POSTGRES};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::watch;

use crate::retail::file::OrderFile;
use crate::retail::progress::Progress;

/// Latest kill as a share of the work, so that work is left when the process before it has
/// recovered.
const LATEST: f64 = 0.75;
/// Processes that an upload needs, and the share of the work within which one of them is killed:
/// half of the work is reading rows.
const UPLOADING: [&str; 3] = [GATEWAY, "ingest", POSTGRES];
const WHILE_UPLOADING: f64 = 0.4;
/// Longest wait for a process that failed because of another one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Order and moments of all kills, from one seed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Share of the work, and process.
    kills: Vec<(f64, String)>,
}

impl Plan {
    pub(super) fn new<'a>(seed: u64, names: impl Iterator<Item = &'a str>) -> Self {
        let processes: Vec<&str> = names.chain(ENGINES).collect();
        let mut random = StdRng::seed_from_u64(seed);
        loop {
            let kills = draw(&mut random, &processes);
            let breaks_upload = |(moment, process): &(f64, String)| {
                *moment < WHILE_UPLOADING && UPLOADING.contains(&process.as_str())
            };
            if kills.iter().any(breaks_upload) {
                return Self { seed, kills };
            }
        }
    }
}

fn draw(random: &mut StdRng, processes: &[&str]) -> Vec<(f64, String)> {
    let mut processes: Vec<String> = processes.iter().map(|name| (*name).to_owned()).collect();
    processes.shuffle(random);
    let mut moments: Vec<f64> = processes
        .iter()
        .map(|_| random.random_range(0.0..LATEST))
        .collect();
    moments.sort_by(f64::total_cmp);
    moments.into_iter().zip(processes).collect()
}

/// All work, counted from the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    rows: f64,
    invoices: f64,
}

impl Workload {
    pub(super) fn of(files: &[OrderFile]) -> Self {
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let invoices: BTreeSet<_> = files.iter().flat_map(|file| &file.invoices).collect();
        Self {
            rows: rows as f64,
            invoices: invoices.len() as f64,
        }
    }

    /// Returns the share of the work that is done: reading rows is one half, settling invoices the
    /// other.
    fn done(self, progress: &Progress) -> f64 {
        let rows = progress.rows_read as f64 / self.rows.max(1.0);
        let settled = progress.settled as f64 / self.invoices.max(1.0);
        (rows.min(1.0) + settled.min(1.0)) / 2.0
    }
}

/// A kill and the recovery from it.
#[derive(Debug, Serialize)]
pub(super) struct Kill {
    process: String,
    /// Planned share of the work.
    planned: f64,
    /// Actual share of the work.
    done: f64,
    rows_accepted: i64,
    published: i64,
    settled: i64,
    recovery_ms: u128,
    restarts: u32,
}

/// Carries the plan out; `report` receives each kill.
///
/// # Errors
/// When a process does not recover, or a kill was not between the first accepted row and the last
/// settled order.
pub(super) async fn run(
    stack: &Stack,
    plan: &Plan,
    workload: Workload,
    mut observed: watch::Receiver<Progress>,
    report: impl Fn(&Kill),
) -> Result<Vec<Kill>> {
    let mut kills = Vec::new();
    for (planned, process) in &plan.kills {
        let planned = *planned;
        let is_due = |now: &Progress| now.rows_accepted > 0 && workload.done(now) >= planned;
        let before = until(&mut observed, process, is_due).await?;
        let healthy = stack.wait_for(process, PATIENCE, |now| now.state == State::Healthy);
        let restarts = healthy.await?.restarts;
        let killed = Instant::now();
        let life = stack.kill(process)?;
        let revived = stack
            .revived(process, &life)
            .await
            .with_context(|| format!("{process} did not come back after it was killed"))?;
        let recovery = killed.elapsed();
        if revived.restarts <= restarts {
            bail!("{process} is back, but its supervisor counted no restart");
        }
        // Incomplete progress that was read after the kill proves that the kill came before the
        // end.
        until(&mut observed, process, |now| now.asked > killed).await?;
        let kill = Kill {
            process: process.clone(),
            planned,
            done: workload.done(&before),
            rows_accepted: before.rows_accepted,
            published: before.published,
            settled: before.settled,
            recovery_ms: recovery.as_millis(),
            restarts: revived.restarts,
        };
        report(&kill);
        kills.push(kill);
    }
    Ok(kills)
}

/// Returns the first observation that satisfies `condition`, unless the work is complete.
async fn until(
    observed: &mut watch::Receiver<Progress>,
    process: &str,
    condition: impl Fn(&Progress) -> bool,
) -> Result<Progress> {
    let seen = observed
        .wait_for(|now| now.completed || condition(now))
        .await;
    let seen = *seen.context("the follower of the imports has ended")?;
    if seen.completed {
        bail!(
            "all orders were settled before {process} could be killed: slow the upload with --rate"
        );
    }
    Ok(seen)
}

impl fmt::Display for Kill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "killed {:<9} at {:>2.0} % ({} rows accepted, {} of {} invoices settled): back in {:.1} s",
            self.process,
            self.done * 100.0,
            self.rows_accepted,
            self.settled,
            self.published,
            self.recovery_ms as f64 / 1000.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_seed(seed: u64) -> Plan {
        let names = [
            "inventory",
            "payments",
            "shipping",
            "orders",
            "ingest",
            GATEWAY,
        ];
        Plan::new(seed, names.into_iter())
    }

    #[test]
    fn a_seed_makes_one_plan_that_kills_every_process_once_and_in_time() {
        let plan = of_seed(7);
        assert_eq!(plan.kills, of_seed(7).kills);
        assert_ne!(plan.kills, of_seed(8).kills);
        let mut processes: Vec<_> = plan
            .kills
            .iter()
            .map(|(_, process)| process.as_str())
            .collect();
        processes.sort_unstable();
        assert_eq!(
            processes,
            [
                "gateway",
                "ingest",
                "inventory",
                "nats",
                "orders",
                "payments",
                "postgres",
                "shipping",
                "valkey"
            ]
        );
        assert!(plan.kills.is_sorted_by(|one, two| one.0 <= two.0));
        assert!(plan.kills.iter().all(|(moment, _)| *moment < LATEST));
        let breaks_upload =
            |kill: &(f64, String)| kill.0 < WHILE_UPLOADING && UPLOADING.contains(&kill.1.as_str());
        assert!((0..500).all(|seed| of_seed(seed).kills.iter().any(breaks_upload)));
    }
}
