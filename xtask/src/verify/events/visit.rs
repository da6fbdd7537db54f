//! One disturbance at one point, from the first fact to the verdict.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fixture::commands::Verb;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::arena::Arena;
use super::faults::Fault;
use super::means::Means;
use super::points::{Point, Role, Way};
use super::table::Cell;

/// Transactions before, during and after a disturbance; each has one to three facts.
const BEFORE: u32 = 4;
const DURING: u32 = 8;
const AFTER: u32 = 2;
/// Latest visit of a point at which a process is held.
const LATEST_VISIT: u32 = 2;
/// How often more facts are written for a visit.
const TRIES: u32 = 5;
/// Longest wait for the facts of a visit: pauses between attempts grow to 5 s.
const SETTLED: Duration = Duration::from_secs(45);
const BRIEFLY: Duration = Duration::from_secs(15);

/// One disturbance at one point.
pub(super) struct Visit {
    fault: Fault,
    point: &'static Point,
    seed: u64,
    /// Begins the keys of this visit, which no other visit has.
    prefix: String,
    random: StdRng,
    /// Longest wait for its facts.
    patience: Duration,
}

// === impl Visit ===

impl Visit {
    /// Creates the visit at `place` of its arena.
    pub(super) fn new(fault: Fault, point: &'static Point, seed: u64, place: usize) -> Self {
        let place_seed = u64::try_from(place).unwrap_or_default();
        Self {
            fault,
            point,
            seed,
            prefix: format!("s{seed}c{place}k"),
            random: StdRng::seed_from_u64(seed.rotate_left(32) ^ place_seed),
            patience: SETTLED,
        }
    }

    /// Waits less long: for a visit whose facts are not expected to be in order.
    pub(super) fn briefly(self) -> Self {
        Self {
            patience: BRIEFLY,
            ..self
        }
    }

    /// Makes the visit; after one with problems the arena can't be used further.
    pub(super) async fn run(mut self, arena: &mut Arena, means: &Means, row: &'static str) -> Cell {
        let done = self.disturb(arena, means).await;
        let history = arena.history(&self.prefix).await;
        let (hits, problems) = match done {
            Ok(done) => done,
            Err(error) => (0, vec![format!("{error:#}")]),
        };
        Cell {
            row,
            point: self.point.name,
            fault: self.fault,
            seed: self.seed,
            hits,
            facts: history.map_or(0, |history| history.written.len()),
            problems,
        }
    }

    async fn disturb(&mut self, arena: &mut Arena, means: &Means) -> Result<(u32, Vec<String>)> {
        let (point, prefix) = (self.point, self.prefix.clone());
        let forgets = self.fault.forgets(point);
        let write = |transactions, is_poisonous| Verb::Write {
            prefix: prefix.clone(),
            transactions,
            is_poisonous,
        };
        arena.producer()?.run(write(BEFORE, false)).await?;
        let problems = arena.settle(&prefix, forgets, SETTLED).await?;
        ensure!(problems.is_empty(), "before the fault: {problems:?}");
        self.fault.prepare(arena, means, point).await?;

        let command = self
            .approach(arena, write(DURING, point.way.is_poisonous()))
            .await?;
        let mut tries = 0;
        while !arena.process(point.side)?.is_held(point.name).await {
            tries += 1;
            if tries > TRIES {
                return Ok((0, Vec::new()));
            }
            // Relay and consumer may have had all in one batch.
            arena.producer()?.command(write(AFTER, false)).await?;
        }
        self.fault
            .inject(arena, means, point, &mut self.random)
            .await?;
        let (side, number) = command;
        if side != point.side || !self.fault.replaces() {
            // An operator's command may have failed for the fault.
            let _ = arena.process(side)?.answered(number).await;
        }
        arena.producer()?.run(write(AFTER, false)).await?;
        let mut problems = Vec::new();
        if point.side == Role::Producer && arena.second.is_some() {
            problems.extend(arena.owners(write(1, false)).await?);
        }
        problems.extend(arena.settle(&prefix, forgets, self.patience).await?);
        if let Some(second) = arena.second.take() {
            second.kill().await?;
        }
        arena.check_alive()?;
        Ok((1, problems))
    }

    /// Arms the point and does what leads there; returns the command in work, by the process that
    /// has it.
    async fn approach(&mut self, arena: &mut Arena, write: Verb) -> Result<(Role, u64)> {
        let point = self.point;
        let nth = match point.way {
            Way::Write => self.random.random_range(1..=LATEST_VISIT),
            _ => 1,
        };
        match point.way {
            Way::Start => {
                let old = arena.slot(point.side).take().context("no process")?;
                old.kill().await?;
                let started = arena.start(point.side, true, Some(point.name)).await?;
                *arena.slot(point.side) = Some(started);
                Ok((point.side, arena.process(point.side)?.command(write).await?))
            }
            Way::Write | Way::Poison => {
                arena.process(point.side)?.arm(point.name, nth).await?;
                Ok((Role::Producer, arena.producer()?.command(write).await?))
            }
            Way::Rebuild | Way::Replay => {
                arena.producer()?.run(write).await?;
                let parked = match point.way {
                    Way::Replay => Some(arena.parks(&self.prefix, SETTLED).await?),
                    _ => None,
                };
                arena.process(point.side)?.arm(point.name, nth).await?;
                let command = point.way.command(parked.as_deref());
                let command = command.context("no command leads there")?;
                Ok((
                    point.side,
                    arena.process(point.side)?.command(command).await?,
                ))
            }
        }
    }
}
