//! A server of known capacity, and an open loop of calls to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Client, Limiter, Request};

/// Slots that work for a fixed time each, whether or not the caller still waits.
#[derive(Clone)]
pub(super) struct Server {
    slots: Arc<Semaphore>,
    size: Arc<Mutex<usize>>,
    sheds: bool,
}

/// The calls of one client, in an open loop.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) client: Client,
    /// Calls per second.
    pub(super) rate: f64,
    pub(super) service: Duration,
    /// Deadline of each call.
    pub(super) patience: Duration,
}

/// The outcome of the calls of one client.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) sent: usize,
    /// Answered before their deadlines.
    pub(super) good: usize,
    pub(super) slot_time: Duration,
    latencies: Vec<Duration>,
}

pub(super) fn client(number: usize) -> Client {
    Client::Principal(number.to_string().into())
}

/// Runs the loads at the same time and returns when all calls have ended.
pub(super) async fn run(
    limiter: &Limiter,
    server: &Server,
    loads: &[Load],
    time: Duration,
) -> Vec<Summary> {
    let mut running = JoinSet::new();
    for (number, load) in loads.iter().cloned().enumerate() {
        let (limiter, server) = (limiter.clone(), server.clone());
        running.spawn(async move { (number, generate(limiter, server, load, time).await) });
    }
    let mut summaries = running.join_all().await;
    summaries.sort_by_key(|(number, _)| *number);
    summaries.into_iter().map(|(_, summary)| summary).collect()
}

async fn generate(limiter: Limiter, server: Server, load: Load, time: Duration) -> Summary {
    let mut random = StdRng::seed_from_u64(7);
    let (begin, mut at) = (Instant::now(), 0.0);
    let mut calls = JoinSet::new();
    while at < time.as_secs_f64() {
        at -= random.random::<f64>().max(1e-12).ln() / load.rate;
        sleep_until(begin + Duration::from_secs_f64(at)).await;
        calls.spawn(call(limiter.clone(), server.clone(), load.clone()));
    }
    // The calls that are still under way count for this run, which ends without them.
    let (sent, end) = (calls.len(), begin + time);
    let mut summary = Summary {
        sent,
        ..Summary::default()
    };
    sleep_until(end).await;
    let late = calls.len();
    while let Some(outcome) = calls.try_join_next() {
        summary.add(outcome.unwrap(), load.service);
    }
    summary.sent -= calls.len().min(late);
    calls.detach_all();
    summary
}

async fn call(limiter: Limiter, server: Server, load: Load) -> Option<Duration> {
    let begin = Instant::now();
    let deadline = begin + load.patience;
    let request = Request {
        client: load.client,
        deadline: Some(deadline),
        ..Request::default()
    };
    let permit = limiter.admit(&request).await.ok()?;
    // Dropping the permit gives the call up.
    let answer = timeout_at(deadline, server.work(load.service)).await.ok()?;
    permit.answered(!answer);
    answer.then(|| begin.elapsed())
}

// === impl Server ===

impl Server {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            size: Arc::new(Mutex::new(slots)),
            sheds: false,
        }
    }

    /// Rejects calls beyond its slots.
    pub(super) fn shedding(mut self) -> Self {
        self.sheds = true;
        self
    }

    pub(super) fn resize(&self, slots: usize) {
        let mut size = self.size.lock().unwrap();
        if slots > *size {
            self.slots.add_permits(slots - *size);
        } else {
            let (all, fewer) = (self.slots.clone(), *size - slots);
            tokio::spawn(async move {
                all.acquire_many(fewer as u32).await.unwrap().forget();
            });
        }
        *size = slots;
    }

    async fn work(&self, time: Duration) -> bool {
        if self.sheds && self.slots.available_permits() == 0 {
            sleep_until(Instant::now() + Duration::from_millis(1)).await;
            return false;
        }
        let (done, answer) = oneshot::channel();
        let slots = self.slots.clone();
        tokio::spawn(async move {
            let _slot = slots.acquire().await.unwrap();
            sleep_until(Instant::now() + time).await;
            let _: Result<_, _> = done.send(());
        });
        answer.await.is_ok()
    }
}

// === impl Summary ===

impl Summary {
    pub(super) fn percentile(&self, part: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let index = (sorted.len() as f64 * part) as usize;
        sorted[index.min(sorted.len() - 1)]
    }

    fn add(&mut self, outcome: Option<Duration>, service: Duration) {
        if let Some(latency) = outcome {
            self.good += 1;
            self.slot_time += service;
            self.latencies.push(latency);
        }
    }
}
