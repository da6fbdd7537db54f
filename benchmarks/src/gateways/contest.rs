//! Cases in which peers take turns, round by round, so that a slow phase of the machine affects
//! all.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

use super::ask::Ask;
use super::figure::{Contested, Figure, Unit};
use super::load::{self, Crowd, Turn};
use super::peer::{Fleet, Peer, Running};
use super::{Plan, upstream};
use crate::corpus::{DESCRIPTORS, ORDER};
use crate::measure::{median, rounded};

/// Orders in one stream.
const STREAM_ORDERS: usize = 10_000;

/// A case of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// An order posted and returned as JSON.
    Unary,
    /// A stream of orders, in JSON.
    Stream,
    /// An order, posted and returned by gRPC clients.
    Grpc,
    /// `Unary` at half of the highest rate of Envoy; without Envoy, of the gateway.
    Latency,
}

pub(super) const CASES: [Case; 4] = [Case::Unary, Case::Stream, Case::Grpc, Case::Latency];

/// One peer and its turns.
struct Entrant<'a> {
    peer: Peer,
    running: &'a Running,
    ask: Ask,
    /// Bytes of response body per unit.
    unit_bytes: f64,
    turns: Vec<Turn>,
}

/// Measures one case; returns a figure of each peer, skipped ones included.
pub(super) async fn hold(case: Case, fleet: &Fleet, plan: &Plan) -> Result<Vec<Figure>> {
    let (mut contestants, mut figures) = (Vec::new(), Vec::new());
    for (peer, running) in &fleet.members {
        let able = running.as_ref().map_err(|why| *why);
        match able.and_then(|running| case.excuse(*peer).map_or(Ok(running), Err)) {
            Err(why) => figures.push(Figure::skipped(case.name(), *peer, why)),
            Ok(running) => {
                let entered = Entrant::enter(case, *peer, running).await;
                contestants.push(entered.with_context(|| format!("{} failed", peer.name()))?);
            }
        }
    }
    let rate = match case {
        Case::Latency => Some(half_of_saturation(&contestants, plan).await?),
        _ => None,
    };
    for _ in 0..plan.rounds {
        for contestant in &mut contestants {
            let turn = contestant.take_turn(case, rate, plan).await;
            let turn = turn.with_context(|| format!("{} failed", contestant.peer.name()))?;
            contestant.turns.push(turn);
        }
    }
    let [ours, ..] = &*contestants else {
        anyhow::bail!("nobody to measure");
    };
    let contested = contestants.iter().map(|peer| peer.figure(case, ours));
    Ok(contested.chain(figures).collect())
}

async fn half_of_saturation(contestants: &[Entrant<'_>], plan: &Plan) -> Result<f64> {
    let envoy = contestants.iter().find(|one| one.peer == Peer::Envoy);
    let slowest = envoy.or(contestants.first()).context("nobody to measure")?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let turn = slowest.take_turn(Case::Unary, None, plan).await?;
        rates.push(slowest.units(&turn) / turn.elapsed.as_secs_f64());
    }
    Ok(median(rates) / 2.0)
}

// === impl Entrant ===

impl<'a> Entrant<'a> {
    /// Sends one request and checks the response.
    async fn enter(case: Case, peer: Peer, running: &'a Running) -> Result<Self> {
        let ask = case.ask()?;
        let answer = load::once(running.address, &ask).await?;
        let units = case.check(&answer)?;
        Ok(Self {
            peer,
            running,
            ask,
            unit_bytes: answer.len() as f64 / units as f64,
            turns: Vec::new(),
        })
    }

    async fn take_turn(&self, case: Case, rate: Option<f64>, plan: &Plan) -> Result<Turn> {
        let (peer, process, ask) = (self.running.address, &self.running.process, &self.ask);
        match rate {
            None => load::closed(peer, process, ask, case.crowd(), plan.turn).await,
            Some(rate) => load::timed(peer, process, ask, case.crowd(), rate, plan.turn).await,
        }
    }

    fn units(&self, turn: &Turn) -> f64 {
        turn.bytes as f64 / self.unit_bytes
    }

    fn cpu_us(&self, turn: &Turn) -> f64 {
        turn.cpu.as_secs_f64() * 1e6 / self.units(turn)
    }

    /// Returns the compared value of one turn.
    fn score(&self, case: Case, turn: &Turn) -> f64 {
        match case {
            Case::Latency => turn.percentile(99),
            _ => self.cpu_us(turn),
        }
    }

    fn figure(&self, case: Case, ours: &Entrant<'_>) -> Figure {
        let over = |value: &dyn Fn(&Turn) -> f64, digits| {
            rounded(median(self.turns.iter().map(value)), digits)
        };
        let pairs = self.turns.iter().zip(&ours.turns);
        let ratios = pairs.map(|(turn, own)| self.score(case, turn) / ours.score(case, own));
        Figure::Contested(Contested {
            case: case.name(),
            peer: self.peer,
            unit: case.unit(),
            cpu_us_per_request: over(&|turn| self.cpu_us(turn), 2),
            rps: over(&|turn| self.units(turn) / turn.elapsed.as_secs_f64(), 0),
            p50_ms: over(&|turn| turn.percentile(50), 3),
            p99_ms: over(&|turn| turn.percentile(99), 3),
            rss_mb: over(&|turn| turn.resident_bytes as f64 / 1e6, 1),
            ratio: rounded(median(ratios), 2),
        })
    }
}

// === impl Case ===

impl Case {
    pub(super) fn name(self) -> &'static str {
        match self {
            Case::Unary => "unary",
            Case::Stream => "stream",
            Case::Grpc => "grpc",
            Case::Latency => "latency",
        }
    }

    /// Returns the reason why a peer does not take part.
    fn excuse(self, peer: Peer) -> Option<&'static str> {
        match (self, peer) {
            (Case::Stream | Case::Grpc, Peer::Bare) => Some("it knows one call and one protocol"),
            (Case::Stream, Peer::Vanguard) => {
                Some("its REST streams nothing but google.api.HttpBody")
            }
            (Case::Grpc, Peer::GrpcGateway) => Some("it does not pass gRPC on"),
            _ => None,
        }
    }

    fn ask(self) -> Result<Ask> {
        Ok(match self {
            Case::Unary | Case::Latency => Ask::order(),
            // Peers without NDJSON ignore the header.
            Case::Stream => Ask::orders(STREAM_ORDERS, false, "application/x-ndjson"),
            Case::Grpc => Ask::grpc()?,
        })
    }

    fn unit(self) -> Unit {
        match self {
            Case::Stream => Unit::Message,
            _ => Unit::Request,
        }
    }

    fn crowd(self) -> Crowd {
        let (connections, streams_per_connection) = match self {
            Case::Unary | Case::Latency => (64, 1),
            Case::Stream => (4, 1),
            Case::Grpc => (8, 8),
        };
        Crowd {
            connections,
            streams_per_connection,
        }
    }

    /// Checks a response and returns its number of units.
    fn check(self, answer: &Bytes) -> Result<usize> {
        match self {
            Case::Unary | Case::Latency => {
                is_the_order(&serde_json::from_slice(answer)?)?;
                Ok(1)
            }
            Case::Stream => {
                let orders = orders(answer)?;
                ensure!(
                    orders.len() == STREAM_ORDERS,
                    "{} orders came",
                    orders.len()
                );
                is_the_order(orders.last().context("no order came")?)?;
                Ok(STREAM_ORDERS)
            }
            Case::Grpc => {
                ensure!(
                    *answer == upstream::order_frame()?,
                    "another order came back"
                );
                Ok(1)
            }
        }
    }
}

/// Returns the messages of a stream: an array, or one after the other, in `result` for some peers.
fn orders(answer: &[u8]) -> Result<Vec<Value>> {
    if answer.first() == Some(&b'[') {
        return Ok(serde_json::from_slice(answer)?);
    }
    let values = serde_json::Deserializer::from_slice(answer).into_iter::<Value>();
    let unwrapped = values.map(|value| {
        let mut value = value?;
        Ok(value.get_mut("result").map(Value::take).unwrap_or(value))
    });
    unwrapped.collect()
}

fn is_the_order(json: &Value) -> Result<()> {
    ensure!(
        normal(json)? == normal(&serde_json::from_str(ORDER.json)?)?,
        "another order came back"
    );
    Ok(())
}

/// Returns the message without default values, which only some peers write.
fn normal(json: &Value) -> Result<Value> {
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    let message = pool.get_message_by_name(ORDER.message);
    let message = DynamicMessage::deserialize(message.context("no such message")?, json)?;
    Ok(serde_json::to_value(message)?)
}
