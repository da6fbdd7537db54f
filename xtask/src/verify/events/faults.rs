//! The columns of the matrix: what is done to a process that is held at a point, and undone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use fixture::commands::Verb;
use mesh::os::Signal;
use mesh::project::{NATS, POSTGRES};
use mesh::{Home, Stack};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::arena::{Arena, Variables};
use super::means::{self, Clock, Disk, Means};
use super::points::{Point, Role};
use super::proxy::Flow;

/// Longer than the fixture's lease and its wait for an acknowledgement.
const PAST_THE_LEASE: Duration = Duration::from_millis(1400);
/// Longest random part of a disturbance.
const SPREAD_MS: u64 = 400;
/// How far a clock is set ahead or back, as libfaketime reads it.
const CLOCKS: [&str; 2] = ["+1h", "-1h"];
/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Kill,
    Freeze,
    RestartPostgres,
    RestartNats,
    StallPostgres,
    StallNats,
    Cut,
    OlderPostgres,
    OlderStream,
    Rebuild,
    ProcessClock,
    PostgresClock,
    FullPostgres,
    FullNats,
}

// === impl Fault ===

impl Fault {
    pub(super) const ALL: [Self; 14] = [
        Self::Kill,
        Self::Freeze,
        Self::RestartPostgres,
        Self::RestartNats,
        Self::StallPostgres,
        Self::StallNats,
        Self::Cut,
        Self::OlderPostgres,
        Self::OlderStream,
        Self::Rebuild,
        Self::ProcessClock,
        Self::PostgresClock,
        Self::FullPostgres,
        Self::FullNats,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::RestartPostgres => "restart-postgres",
            Self::RestartNats => "restart-nats",
            Self::StallPostgres => "stall-postgres",
            Self::StallNats => "stall-nats",
            Self::Cut => "cut",
            Self::OlderPostgres => "older-postgres",
            Self::OlderStream => "older-stream",
            Self::Rebuild => "rebuild",
            Self::ProcessClock => "process-clock",
            Self::PostgresClock => "postgres-clock",
            Self::FullPostgres => "full-postgres",
            Self::FullNats => "full-nats",
        }
    }

    /// Returns why it can't be injected on this machine.
    pub(super) fn is_impossible(self) -> Option<&'static str> {
        match self {
            Self::ProcessClock | Self::PostgresClock if means::library().is_none() => {
                Some("libfaketime is not installed")
            }
            Self::FullPostgres | Self::FullNats if !means::can_mount() => {
                Some("a file system can't be mounted; it takes root")
            }
            _ => None,
        }
    }

    /// Returns whether `point` can meet it. A rebuild can't meet itself; and a database that goes
    /// back after its stream was deleted is a known loss (ADR 19): nothing is left to compare with.
    pub(super) fn meets(self, point: &Point) -> bool {
        let is_rebuild = point.name.starts_with("events.rebuild");
        !(is_rebuild && matches!(self, Self::Rebuild | Self::OlderPostgres))
    }

    /// Returns whether the process that was disturbed is another one afterwards.
    pub(super) fn replaces(self) -> bool {
        matches!(self, Self::Kill | Self::ProcessClock | Self::PostgresClock)
    }

    /// Returns whether the producer may forget committed facts.
    pub(super) fn forgets(self, point: &Point) -> bool {
        self == Self::OlderPostgres && point.side == Role::Producer
    }

    /// Opens an arena that can have this fault.
    pub(super) async fn open(
        self,
        home: &Home,
        program: &Path,
        omitted: Option<&'static str>,
    ) -> Result<(Arena, Means)> {
        let clock = match self {
            Self::ProcessClock | Self::PostgresClock => Some(Clock::new()?),
            _ => None,
        };
        let variables = clock.as_ref().map(Clock::variables).unwrap_or_default();
        let (of_processes, of_postgres) = match self {
            Self::ProcessClock => (variables, Variables::new()),
            _ => (Variables::new(), variables),
        };
        let arena = Arena::open(home, program, of_processes, of_postgres, omitted).await?;
        let copy = tempfile::Builder::new()
            .prefix("copy-")
            .tempdir_in(arena.ours.dir())?;
        let mut means = Means {
            copy,
            clock,
            disk: None,
        };
        let engine = match self {
            Self::FullPostgres => POSTGRES,
            Self::FullNats => NATS,
            _ => return Ok((arena, means)),
        };
        arena.ours.stop(engine).await?;
        means.disk = Some(Disk::under(data(&arena.ours, engine))?);
        arena.ours.start(engine).await?;
        Ok((arena, means))
    }

    /// Saves the state to go back to; all facts so far are settled.
    pub(super) async fn prepare(self, arena: &Arena, means: &Means, point: &Point) -> Result<()> {
        let Some((stack, engine)) = self.older(arena, point) else {
            return Ok(());
        };
        stack.stop(engine).await?;
        let _ = std::fs::remove_dir_all(means.copy.path().join(engine));
        means::copy(&data(stack, engine), means.copy.path())?;
        stack.start(engine).await
    }

    /// Disturbs the process that is held at `point`, and lets it go on in time to notice.
    pub(super) async fn inject(
        self,
        arena: &mut Arena,
        means: &Means,
        point: &Point,
        random: &mut StdRng,
    ) -> Result<()> {
        let side = point.side;
        let pause = PAST_THE_LEASE + Duration::from_millis(random.random_range(0..SPREAD_MS));
        match self {
            Self::Kill => return replace(arena, side).await,
            Self::Freeze => {
                arena.process(side)?.signal(Signal::STOP);
                arena.second = Some(arena.start(side, false, None).await?);
                tokio::time::sleep(pause).await;
                arena.process(side)?.signal(Signal::CONT);
            }
            Self::RestartPostgres => self.restart(arena, point, POSTGRES, random).await?,
            Self::RestartNats => self.restart(arena, point, NATS, random).await?,
            Self::StallPostgres | Self::StallNats | Self::Cut => {
                self.flow(arena, side, true);
                arena.process(side)?.release(point.name).await?;
                arena.second = Some(arena.start(side, false, None).await?);
                tokio::time::sleep(pause).await;
                self.flow(arena, side, false);
            }
            Self::OlderPostgres | Self::OlderStream => {
                let Some((stack, engine)) = self.older(arena, point) else {
                    return Ok(());
                };
                kill(stack, engine).await?;
                let data = data(stack, engine);
                means::empty(&data)?;
                means::copy(
                    &means.copy.path().join(engine),
                    data.parent().unwrap_or(&data),
                )?;
                stack.start(engine).await?;
            }
            Self::Rebuild => {
                let mut operator = arena.start(Role::Producer, false, None).await?;
                operator.run(Verb::Rebuild).await?;
                arena.second = Some(operator);
            }
            Self::ProcessClock | Self::PostgresClock => {
                let clock = means.clock.as_ref().context("no clock")?;
                clock.set(CLOCKS[random.random_range(0..CLOCKS.len())])?;
                arena.process(side)?.release(point.name).await?;
                tokio::time::sleep(pause).await;
                clock.set("+0")?;
                // What was written by the other clock must not keep the next process waiting.
                return replace(arena, side).await;
            }
            Self::FullPostgres | Self::FullNats => {
                let disk = means.disk.as_ref().context("no disk")?;
                disk.fill()?;
                arena.process(side)?.release(point.name).await?;
                tokio::time::sleep(pause).await;
                disk.free()?;
                if self == Self::FullNats {
                    // The server keeps refusing to write until it is started anew.
                    arena.ours.stop(NATS).await?;
                    arena.ours.start(NATS).await?;
                }
            }
        }
        arena.process(side)?.release(point.name).await
    }

    /// Kills an engine and starts it; by chance the process goes on before it is back, or after.
    async fn restart(
        self,
        arena: &mut Arena,
        point: &Point,
        engine: &str,
        random: &mut StdRng,
    ) -> Result<()> {
        let stack = match engine {
            NATS => &arena.ours,
            _ => arena.stack(point.side),
        };
        kill(stack, engine).await?;
        if random.random_bool(0.5) {
            arena.process(point.side)?.release(point.name).await?;
        }
        let stack = match engine {
            NATS => &arena.ours,
            _ => arena.stack(point.side),
        };
        stack.start(engine).await
    }

    fn flow(self, arena: &Arena, side: Role, is_disturbed: bool) {
        let flow = match (is_disturbed, self) {
            (false, _) => Flow::Free,
            (true, Self::Cut) => Flow::Cut,
            (true, _) => Flow::Stalled,
        };
        if self != Self::StallNats {
            arena.link(side, false, flow);
        }
        if self != Self::StallPostgres {
            arena.link(side, true, flow);
        }
    }

    /// Returns the engine that goes back in time.
    fn older<'a>(self, arena: &'a Arena, point: &Point) -> Option<(&'a Stack, &'static str)> {
        match self {
            Self::OlderPostgres => Some((arena.stack(point.side), POSTGRES)),
            Self::OlderStream => Some((&arena.ours, NATS)),
            _ => None,
        }
    }
}

/// Kills a process (`-9`) and starts another one.
async fn replace(arena: &mut Arena, side: Role) -> Result<()> {
    let killed = arena.slot(side).take().context("no process")?;
    killed.kill().await?;
    let started = arena.start(side, true, None).await?;
    *arena.slot(side) = Some(started);
    Ok(())
}

/// Kills an engine (`-9`) and keeps it down.
async fn kill(stack: &Stack, engine: &str) -> Result<()> {
    stack.kill(engine)?;
    stack.stop(engine).await
}

fn data(stack: &Stack, engine: &str) -> PathBuf {
    stack.dir().join("data").join(engine)
}
