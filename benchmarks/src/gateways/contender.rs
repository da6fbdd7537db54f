//! Servers that answer one request, measured in turns.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::load::{self, Crowd, Turn};
use super::process::Process;
use crate::corpus::ORDER;
use crate::measure::{median, rounded};

/// Longest start of a server.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two polls of a starting server.
const START_PAUSE: Duration = Duration::from_millis(50);

/// A case: a server and what it is asked.
pub(super) struct Contender<'a> {
    pub(super) case: &'static str,
    address: SocketAddr,
    process: &'a Process,
    ask: Ask,
    unit_bytes: f64,
    turns: Vec<Turn>,
}

/// Gives each contender its turn, round by round.
///
/// # Errors
/// When an answer is wrong.
pub(super) async fn compete(
    contenders: &mut [Contender<'_>],
    crowd: Crowd,
    rounds: usize,
    turn: Duration,
) -> Result<()> {
    for _ in 0..rounds {
        for contender in &mut *contenders {
            let (at, ask) = (contender.address, &contender.ask);
            let turn = load::closed(at, contender.process, ask, crowd, turn).await;
            let turn = turn.with_context(|| format!("{} failed", contender.case))?;
            contender.turns.push(turn);
        }
    }
    Ok(())
}

// === impl Contender ===

impl<'a> Contender<'a> {
    /// Waits until the server answers with the order.
    ///
    /// # Errors
    /// When it does not in time.
    pub(super) async fn enter(
        case: &'static str,
        address: SocketAddr,
        process: &'a Process,
        ask: Ask,
    ) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        let answer = loop {
            match load::once(address, &ask).await {
                Ok(answer) if is_the_order(&answer) => break answer,
                other => ensure!(Instant::now() < deadline, "{case} answers {other:?}"),
            }
            sleep(START_PAUSE).await;
        };
        Ok(Self {
            case,
            address,
            process,
            ask,
            unit_bytes: answer.len() as f64,
            turns: Vec::new(),
        })
    }

    /// CPU of one request in microseconds, the median of the turns.
    pub(super) fn cpu_us_per_request(&self) -> f64 {
        rounded(median(self.turns.iter().map(|turn| self.cpu_us(turn))), 2)
    }

    /// Requests per second, the median of the turns.
    pub(super) fn rps(&self) -> f64 {
        let turns = self.turns.iter();
        let rates = turns.map(|turn| self.units(turn) / turn.elapsed.as_secs_f64());
        rounded(median(rates), 0)
    }

    /// CPU of one request as a part of another's, turn by turn.
    pub(super) fn per(&self, other: &Contender<'_>) -> f64 {
        let pairs = self.turns.iter().zip(&other.turns);
        let ratios = pairs.map(|(own, turn)| self.cpu_us(own) / other.cpu_us(turn));
        rounded(median(ratios), 2)
    }

    fn units(&self, turn: &Turn) -> f64 {
        turn.bytes as f64 / self.unit_bytes
    }

    fn cpu_us(&self, turn: &Turn) -> f64 {
        turn.cpu.as_secs_f64() * 1e6 / self.units(turn)
    }
}

fn is_the_order(answer: &Bytes) -> bool {
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    let name = |text: &[u8]| json(text).and_then(|order| order.get("name").cloned());
    name(answer).is_some() && name(answer) == name(ORDER.json.as_bytes())
}
