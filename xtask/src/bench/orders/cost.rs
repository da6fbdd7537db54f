//! CPU time by process, and commits and flushes of the database.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use mesh::Stack;
use mesh::project::POSTGRES;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

/// Milliseconds of a tick of `/proc/PID/stat`: Linux counts 100 per second (`man 5 proc`).
const MS_PER_TICK: f64 = 10.0;

/// Cost of a run per order.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// CPU milliseconds per order, by process.
    cpu_ms_per_order: BTreeMap<String, f64>,
    commits_per_order: f64,
    /// Flushes of the database's log.
    fsyncs_per_order: f64,
}

/// Measures the cost of a run.
#[derive(Debug)]
pub(super) struct Meter(Counters);

#[derive(Debug)]
struct Counters {
    ticks: BTreeMap<String, u64>,
    commits: i64,
    flushes: i64,
}

impl Meter {
    /// Reads the counters before the run.
    pub(super) async fn start(stack: &Stack) -> Result<Self> {
        Ok(Self(Counters::read(stack).await?))
    }

    /// Returns the cost since the start.
    pub(super) async fn stop(self, stack: &Stack, orders: i64) -> Result<Cost> {
        let (before, after) = (self.0, Counters::read(stack).await?);
        let orders = orders.max(1) as f64;
        let spent = |(name, ticks): (String, u64)| {
            let ticks = ticks.saturating_sub(before.ticks.get(&name).copied().unwrap_or(0));
            (name, ticks as f64 * MS_PER_TICK / orders)
        };
        Ok(Cost {
            cpu_ms_per_order: after.ticks.into_iter().map(spent).collect(),
            commits_per_order: (after.commits - before.commits) as f64 / orders,
            fsyncs_per_order: (after.flushes - before.flushes) as f64 / orders,
        })
    }
}

impl Counters {
    async fn read(stack: &Stack) -> Result<Self> {
        let mut database = PgConnection::connect(&stack.database_url(POSTGRES)?).await?;
        let commits = "SELECT coalesce(sum(xact_commit), 0)::bigint FROM pg_stat_database";
        let commits = sqlx::query_scalar(commits).fetch_one(&mut database).await?;
        let version = "SELECT current_setting('server_version_num')::integer";
        let version: i32 = sqlx::query_scalar(version).fetch_one(&mut database).await?;
        // Since Postgres 18 they are in the statistics of I/O.
        let flushes = if version >= 180_000 {
            "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'"
        } else {
            "SELECT wal_sync FROM pg_stat_wal"
        };
        let flushes = sqlx::query_scalar(flushes).fetch_one(&mut database).await?;
        database.close().await?;
        let mut ticks = BTreeMap::new();
        for (name, status) in stack.processes() {
            if let Some(life) = status.life {
                ticks.insert(name, tree_ticks(life.pid)?);
            }
        }
        Ok(Self {
            ticks,
            commits,
            flushes,
        })
    }
}

/// Returns the CPU time of a process, its living children and those that ended.
fn tree_ticks(pid: u32) -> Result<u64> {
    let (_, own) = stat(pid).with_context(|| format!("no process {pid}"))?;
    let entries = fs::read_dir("/proc")?.flatten();
    let others = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = others.filter_map(stat).filter(|(parent, _)| *parent == pid);
    Ok(own + children.map(|(_, ticks)| ticks).sum::<u64>())
}

/// Returns the parent and the CPU time of a process, with that of its ended children.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in brackets and may hold spaces.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let parent = fields.get(1)?.parse().ok()?;
    // utime, stime, cutime, cstime.
    let ticks = fields
        .get(11..15)?
        .iter()
        .map(|ticks| ticks.parse::<u64>().ok());
    Some((parent, ticks.sum::<Option<u64>>()?))
}

impl std::fmt::Display for Cost {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total: f64 = self.cpu_ms_per_order.values().sum();
        write!(out, "per order: {total:.2} ms CPU (")?;
        for (index, (name, ms)) in self.cpu_ms_per_order.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{name} {ms:.2}")?;
        }
        write!(
            out,
            "), {:.2} commits, {:.2} flushes of the log",
            self.commits_per_order, self.fsyncs_per_order
        )
    }
}
