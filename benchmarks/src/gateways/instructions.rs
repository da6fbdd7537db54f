//! Instructions per request of the gateway's process, counted by valgrind: small changes show on
//! any machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::ask::Ask;
use super::figure::{Figure, Instructions};
use super::load::Sender;
use super::peer::{Running, gateway_command};
use super::process::{Process, free_address};
use super::upstream::Upstream;

/// Requests of the shorter run: connections, caches and buffers are warm after them.
const WARM_UP: u64 = 200;

/// Requests that the longer run sends beyond the shorter one.
const COUNTED: u64 = 1000;

/// Runs each case twice, with few requests and with many: the difference is what the requests took.
pub(super) async fn measure(gateway: &Path, upstream: &Upstream) -> Result<Vec<Figure>> {
    let files = tempfile::tempdir()?;
    let mut figures = Vec::new();
    for (case, ask) in [("unary", Ask::order()), ("grpc", Ask::grpc()?)] {
        let few = run(gateway, upstream, files.path(), &ask, WARM_UP).await?;
        let many = run(gateway, upstream, files.path(), &ask, WARM_UP + COUNTED).await?;
        figures.push(Figure::Instructions(Instructions {
            case,
            requests: COUNTED,
            instructions_per_request: many.saturating_sub(few) / COUNTED,
        }));
    }
    Ok(figures)
}

/// Returns the instructions of one process that answers so many requests, one after another on one
/// connection.
async fn run(
    gateway: &Path,
    upstream: &Upstream,
    files: &Path,
    ask: &Ask,
    requests: u64,
) -> Result<u64> {
    let counts = files.join("callgrind.out");
    let listen = free_address()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
    let gateway = gateway_command(gateway, listen, upstream.address);
    valgrind.arg(gateway.get_program()).args(gateway.get_args());
    valgrind.envs(
        gateway
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let mut running = Running {
        process: Process::start(&mut valgrind)?,
        address: listen,
    };
    running.wait().await?;
    let mut sender = Sender::open(listen, ask).await?;
    for _ in 0..requests {
        let answer = sender.ask(listen, ask).await?;
        ensure!(answer.status == 200, "answered {}", answer.status);
    }
    drop(sender);
    running.process.terminate()?;
    let counts = fs::read_to_string(&counts).context("valgrind wrote no counts")?;
    let totals = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.context("no totals in the counts")?.trim().parse()?)
}
