//! Hostile clients: good calls and memory of a gateway while a script runs against it at full
//! speed, and the same calls to a second gateway as the control.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hostile::Client;
use hostile::attack::{Attack, Target, all};
use prost::Message;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::ask::Ask;
use super::load;
use super::peer::{Running, gateway_command};
use super::process::{Process, Processors, free_address};
use super::upstream::{CREATE_ORDER, STREAM_ORDERS, Upstream};
use crate::codec::generated::StreamOrdersRequest;

/// Good calls beside a script.
const CALLS: u32 = 1200;

/// The address of the good client; that of the hostile ones is 127.0.0.1.
const GOOD_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients that run a script at once, and connections that each keeps open.
const CLIENTS: usize = 4;
const CONNECTIONS: usize = 32;

/// Time after a script in which memory comes back to that of the idle gateway and `REST_MIB`.
const REST: Duration = Duration::from_secs(30);

/// See above.
pub const REST_MIB: f64 = 64.0;

/// Pause between two measurements of memory.
const SAMPLE: Duration = Duration::from_millis(100);

const MIB: f64 = 1024.0 * 1024.0;

/// Programs and effort.
#[derive(Debug, Clone)]
pub struct HostilePlan {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// Time of each script.
    pub time: Duration,
    /// Only scripts whose name contains this.
    pub only: Option<String>,
}

/// The outcome of one script.
#[derive(Debug, Clone, Serialize)]
pub struct HostileRow {
    /// Name of the script.
    pub script: &'static str,
    /// Connections that it opened.
    pub connections: u64,
    /// Good calls, and those of them with the right answer.
    pub calls: u32,
    /// See above.
    pub right: u32,
    /// The first wrong answer to a good call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
    /// 99th percentile of the good calls, in milliseconds, and relative to that of the control.
    pub p99_ms: f64,
    /// See above.
    pub p99_ratio: f64,
    /// Resident memory in MiB: before, the largest during, and within 30 s after the script.
    pub idle_mib: f64,
    /// See above.
    pub max_mib: f64,
    /// See above.
    pub after_mib: f64,
}

/// Runs all scripts and passes each row on as it comes.
///
/// # Errors
/// When a gateway does not start, or ends.
pub fn run(plan: &HostilePlan, mut show: impl FnMut(HostileRow) -> Result<()>) -> Result<()> {
    let processors = Processors::divide();
    super::process::raise_file_limit()?;
    let runtime = super::runtime()?;
    let upstream = processors.on_load(Upstream::start)?;
    let only = plan.only.as_deref().unwrap_or_default();
    for attack in all(&target()) {
        if attack.name.contains(only) {
            let stage = Pair::start(&plan.gateway, &upstream, &processors);
            let mut stage = runtime.block_on(stage)?;
            processors.stay_on_load();
            show(runtime.block_on(stage.measure(attack, plan.time))?)?;
        }
    }
    Ok(())
}

fn target() -> Target {
    let endless = StreamOrdersRequest {
        count: 1_000_000,
        ..StreamOrdersRequest::default()
    };
    Target {
        json: "/v1/orders",
        unary: CREATE_ORDER,
        stream: STREAM_ORDERS,
        message: endless.encode_to_vec(),
        large: "/v1/orders:stream?count=1000000",
        websocket: "/v1/orders",
    }
}

/// Two gateways before one upstream.
struct Pair {
    attacked: Running,
    control: Running,
}

// === impl Pair ===

impl Pair {
    async fn start(program: &Path, upstream: &Upstream, processors: &Processors) -> Result<Self> {
        let mut running = Vec::new();
        for _ in 0..2 {
            let address = free_address()?;
            let mut command = gateway_command(program, address, upstream.address);
            // Its defaults.
            command.env_remove("PROTOMESH_MAX_CONNECTIONS");
            let process = processors.on_measured(|| Process::start(&mut command))?;
            let mut gateway = Running { process, address };
            gateway.wait().await.context("the gateway does not serve")?;
            running.push(gateway);
        }
        let [attacked, control] = <[Running; 2]>::try_from(running)
            .map_err(|_| anyhow::anyhow!("two gateways were started"))?;
        Ok(Self { attacked, control })
    }

    async fn measure(&mut self, attack: Attack, time: Duration) -> Result<HostileRow> {
        let name = attack.name;
        let mebibytes =
            |process: &Process| Ok::<_, anyhow::Error>(process.resident_bytes()? as f64 / MIB);
        let idle_mib = mebibytes(&self.attacked.process)?;
        let mut clients = JoinSet::new();
        let end = Instant::now() + time;
        for _ in 0..CLIENTS {
            clients.spawn(strike(attack.clone(), self.attacked.address, end));
        }
        let pause = time / CALLS;
        let probes = tokio::spawn(probe(self.attacked.address, pause));
        let controls = tokio::spawn(probe(self.control.address, pause));
        let mut max_mib = idle_mib;
        while !(probes.is_finished() && controls.is_finished()) {
            self.attacked.process.check()?;
            max_mib = max_mib.max(mebibytes(&self.attacked.process)?);
            sleep(SAMPLE).await;
        }
        let ((probes, wrong), (controls, _)) = (probes.await??, controls.await??);
        let mut connections = 0;
        while let Some(opened) = clients.join_next().await {
            connections += opened?;
        }
        let mut after_mib = mebibytes(&self.attacked.process)?;
        let rested = Instant::now() + REST;
        while after_mib > idle_mib + REST_MIB && Instant::now() < rested {
            sleep(SAMPLE).await;
            after_mib = mebibytes(&self.attacked.process)?;
        }
        let (p99, of_control) = (percentile(&probes), percentile(&controls));
        Ok(HostileRow {
            script: name,
            connections,
            calls: CALLS,
            right: u32::try_from(probes.len())?,
            wrong,
            p99_ms: p99 * 1e3,
            p99_ratio: p99 / of_control,
            idle_mib,
            max_mib,
            after_mib,
        })
    }
}

/// Runs a script again and again, and keeps its last connections; returns how many there were.
async fn strike(attack: Attack, server: SocketAddr, end: Instant) -> u64 {
    let mut open: VecDeque<Client> = VecDeque::new();
    let mut count = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match timeout(left, attack.strike(server)).await {
            Ok(Ok(client)) => {
                count += 1;
                open.push_back(client);
                if open.len() > CONNECTIONS {
                    open.pop_front();
                }
            }
            // Refused connections are the server's good right.
            Ok(Err(_)) => tokio::task::yield_now().await,
            Err(_) => break,
        }
    }
    count
}

/// Makes good calls, one at a time; returns the seconds that the right ones took, and the first
/// wrong answer.
async fn probe(server: SocketAddr, pause: Duration) -> Result<(Vec<f64>, Option<String>)> {
    let ask = Ask::order();
    let expected = load::once_from(GOOD_CLIENT, server, &ask).await?;
    let mut ticks = interval(pause.max(Duration::from_millis(1)));
    let (mut right, mut wrong) = (Vec::new(), None);
    for _ in 0..CALLS {
        ticks.tick().await;
        let begun = Instant::now();
        let answered = load::once_from(GOOD_CLIENT, server, &ask);
        match timeout(CALL_TIMEOUT, answered).await {
            Ok(Ok(answer)) if answer == expected => right.push(begun.elapsed().as_secs_f64()),
            answered => wrong = wrong.or_else(|| Some(format!("{answered:?}"))),
        }
    }
    ensure!(!right.is_empty(), "no call was answered: {wrong:?}");
    Ok((right, wrong))
}

fn percentile(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len() * 99 / 100;
    sorted.get(at).copied().unwrap_or_default()
}
