//! Reads and orders at a steady rate, each of which has to succeed.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration_tests::http::{Http, Response};
use integration_tests::order::PLACED_AT;
use integration_tests::unique;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The piece that each order has one of.
pub(super) const SKU: &str = "ROLLING";
/// Price of the piece in minor units.
pub(super) const PRICE: i64 = 100;
/// Accounts that orders are spread over.
const ACCOUNTS: u64 = 40;
/// Most requests in flight: a mesh that stands still fails, and does not fill the memory.
const MAX_IN_FLIGHT: usize = 1_000;

/// Requests for each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) reads: u32,
    pub(super) orders: u32,
}

/// Requests that go on until they are stopped.
pub(super) struct Traffic {
    stop: CancellationToken,
    task: JoinHandle<Outcome>,
    placed: Arc<Mutex<Vec<String>>>,
}

/// All requests of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) reads: usize,
    pub(super) orders: usize,
    pub(super) failures: Vec<String>,
    pub(super) slowest: Duration,
}

// === impl Traffic ===

impl Traffic {
    /// Begins with one order, so that there is something to read.
    pub(super) async fn start(http: Http, rate: Rate) -> Result<Self> {
        let placed = Arc::new(Mutex::new(Vec::new()));
        let first = place(http.clone(), Arc::clone(&placed), 0).await;
        ensure!(first.failures.is_empty(), "{first:?}");
        let stop = CancellationToken::new();
        let run = run(http, rate, Arc::clone(&placed), stop.clone(), first);
        let task = tokio::spawn(run);
        Ok(Self { stop, task, placed })
    }

    /// Returns the number of orders that are placed so far.
    pub(super) fn placed(&self) -> usize {
        self.placed.lock().unwrap().len()
    }

    /// Waits for the requests in flight.
    pub(super) async fn stop(self) -> Result<Outcome> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn run(
    http: Http,
    rate: Rate,
    placed: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    mut outcome: Outcome,
) -> Outcome {
    let pace = |rate| {
        let mut pace = interval(Duration::from_secs(1) / rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        pace
    };
    let (mut reads, mut orders) = (pace(rate.reads), pace(rate.orders));
    let mut calls = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(done) = calls.join_next() => outcome += done.unwrap(),
            _ = reads.tick(), if calls.len() < MAX_IN_FLIGHT => {
                count += 1;
                calls.spawn(read(http.clone(), Arc::clone(&placed), count));
            }
            _ = orders.tick(), if calls.len() < MAX_IN_FLIGHT => {
                count += 1;
                calls.spawn(place(http.clone(), Arc::clone(&placed), count as u64));
            }
        }
    }
    while let Some(done) = calls.join_next().await {
        outcome += done.unwrap();
    }
    outcome
}

/// Reads one of the orders; a list of them each tenth time.
async fn read(http: Http, placed: Arc<Mutex<Vec<String>>>, count: usize) -> Outcome {
    let id = {
        let placed = placed.lock().unwrap();
        placed[(count * 7919) % placed.len()].clone()
    };
    let path = match count % 10 {
        0 => format!(
            "/v1/orders?pageSize=5&accountId=R-{}",
            count as u64 % ACCOUNTS
        ),
        _ => format!("/v1/orders/{id}"),
    };
    let begun = Instant::now();
    let answer = http.get(&path, "application/json").await;
    Outcome {
        reads: 1,
        ..judged(&path, begun, answer).0
    }
}

async fn place(http: Http, placed: Arc<Mutex<Vec<String>>>, count: u64) -> Outcome {
    let line = json!({"sku": SKU, "description": "ONE", "quantity": "1", "unitPriceMinor": PRICE.to_string()});
    let order = json!({
        "requestId": unique("rolling"), "accountId": format!("R-{}", count % ACCOUNTS),
        "placedAt": PLACED_AT, "currencyCode": "GBP", "lines": [line],
    });
    let begun = Instant::now();
    let answer = http.post("/v1/orders", &order).await;
    let (outcome, answer) = judged("POST /v1/orders", begun, answer);
    let id = answer.and_then(|answer| Some(answer.json().ok()?["orderId"].as_str()?.to_owned()));
    if let Some(id) = id {
        placed.lock().unwrap().push(id);
    }
    Outcome {
        orders: 1,
        ..outcome
    }
}

fn judged(request: &str, begun: Instant, answer: Result<Response>) -> (Outcome, Option<Response>) {
    let slowest = begun.elapsed();
    let failure = match &answer {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("{request}: {} {}", answer.status, answer.text())),
        Err(error) => Some(format!("{request}: {error:#}")),
    };
    let outcome = Outcome {
        failures: failure.into_iter().collect(),
        slowest,
        ..Outcome::default()
    };
    (outcome, answer.ok())
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.orders += other.orders;
        self.failures.extend(other.failures);
        self.slowest = self.slowest.max(other.slowest);
    }
}
