//! The gateway beside other gateways of gRPC servers: one upstream, one load, one run, one
//! processor each.

mod ask;
mod bare;
mod cached;
mod contender;
mod contest;
mod envoy;
mod figure;
mod go;
mod hostile;
mod idle;
mod instructions;
mod load;
mod overload;
mod peer;
mod policy;
mod process;
mod soak;
mod stalled;
mod upstream;

pub use bare::serve as serve_bare;
pub use cached::{CachePlan, CacheRow, cache, serve_hello};
pub use figure::Figure;
pub use hostile::{HostilePlan, HostileRow, REST_MIB, run as hostile};
pub use overload::{OverloadPlan, OverloadRow, run as overload};
pub use policy::{PolicyPlan, PolicyRow, policy};

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use peer::{Fleet, Programs};
use upstream::Upstream;

/// Programs and effort of a measurement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// Envoy's program, if available.
    pub envoy: Option<PathBuf>,
    /// The directory to build the Go peers in.
    pub go: Option<PathBuf>,
    /// Turns of each peer; medians count.
    pub rounds: usize,
    /// Time of one turn.
    pub turn: Duration,
    /// Number of idle streams.
    pub idle_streams: usize,
    /// Time for which the reader of a long stream stops.
    pub stall: Duration,
    /// Only cases of this name.
    pub only: Option<String>,
}

/// Measures all cases and passes each figure on as it comes.
///
/// # Errors
/// When a peer does not start or a response is wrong.
pub fn run(plan: &Plan, mut show: impl FnMut(Figure) -> Result<()>) -> Result<()> {
    let go = plan.go.as_deref().filter(|_| go::is_there()).map(go::build);
    let processors = process::Processors::divide();
    let room = process::raise_file_limit()?;
    let upstream = processors.on_load(Upstream::start)?;
    let programs = Programs {
        gateway: plan.gateway.clone(),
        envoy: plan.envoy.clone(),
        go: go.transpose()?,
    };
    let runtime = runtime()?;
    let fleet = runtime.block_on(Fleet::start(&programs, &upstream, &processors))?;
    processors.stay_on_load();
    let wanted = |case: &str| plan.only.as_deref().is_none_or(|only| only == case);
    runtime.block_on(async {
        for case in contest::CASES {
            if wanted(case.name()) {
                for figure in contest::hold(case, &fleet, plan).await? {
                    show(figure)?;
                }
            }
        }
        if wanted(idle::CASE) {
            show(idle::measure(&fleet, plan.idle_streams.min(room)).await?)?;
        }
        if wanted(stalled::CASE) {
            show(stalled::measure(&fleet, &upstream, plan.stall).await?)?;
        }
        Ok(())
    })
}

/// Runs clients of all protocols for so long.
///
/// # Errors
/// When a response is wrong, late or missing.
pub fn soak(gateway: &Path, time: Duration) -> Result<Figure> {
    let processors = process::Processors::divide();
    let upstream = processors.on_load(Upstream::start)?;
    let runtime = runtime()?;
    runtime.block_on(soak::measure(gateway, &upstream, &processors, time))
}

/// Counts the instructions that a request takes in the gateway.
///
/// # Errors
/// When valgrind is missing, or an answer is wrong.
pub fn instructions(gateway: &Path) -> Result<Vec<Figure>> {
    let upstream = Upstream::start()?;
    runtime()?.block_on(instructions::measure(gateway, &upstream))
}

/// Returns a runtime on the caller's thread.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("tokio runtime")
}

// === impl Plan ===

impl Plan {
    /// Returns the effort for precise results.
    pub fn full(gateway: PathBuf) -> Self {
        Self {
            gateway,
            envoy: None,
            go: None,
            rounds: 7,
            turn: Duration::from_secs(2),
            idle_streams: 10_000,
            stall: Duration::from_secs(10),
            only: None,
        }
    }

    /// Returns the effort for quick results.
    pub fn quick(gateway: PathBuf) -> Self {
        Self {
            rounds: 5,
            turn: Duration::from_millis(500),
            idle_streams: 1000,
            stall: Duration::from_secs(2),
            ..Self::full(gateway)
        }
    }
}
