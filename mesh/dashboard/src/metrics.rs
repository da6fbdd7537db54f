//! Figures of each process at a glance, from its `/metrics`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fetch::{Fetch, FetchError};
use crate::processes::ProcessRow;

/// Interval of readings, and how many are kept of a process.
const INTERVAL: Duration = Duration::from_secs(2);
const KEPT: usize = 60;
/// Readings that rates are computed over.
const RATE_OVER: usize = 5;
/// Nothing is read when nobody has looked for this long.
const UNSEEN: Duration = Duration::from_secs(30);
/// Most processes that are read.
const MAX_PROCESSES: usize = 64;

/// Calls of methods, and requests that are none. A call by REST is in both.
const CALLS: &str = "rpc_server_call_duration_seconds";
const REQUESTS: &str = "http_server_request_duration_seconds";
/// Prefixes of methods and routes that serve the mesh itself: the desk, health and reflection.
const OWN_METHODS: [&str; 2] = ["mesh.ops.", "grpc."];
const OWN_ROUTES: &str = "/-/";
/// gRPC codes for which the server is at fault (OpenTelemetry semantic conventions for RPC).
const FAULTS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// The readings of all processes.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    state: Mutex<Readings>,
    seen: Notify,
}

#[derive(Debug, Default)]
struct Readings {
    seen: Option<Instant>,
    of: BTreeMap<String, ProcessReadings>,
}

#[derive(Debug, Default)]
struct ProcessReadings {
    kept: VecDeque<(Instant, Reading)>,
    problem: Option<String>,
}

/// One reading of `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reading {
    requests: f64,
    faults: f64,
    /// Requests by their longest duration in seconds, as text, cumulative.
    buckets: BTreeMap<Bound, f64>,
    levels: Levels,
}

/// Figures that go up and down, in the names of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Levels {
    active: f64,
    memory_bytes: f64,
    outbox: Option<f64>,
    lag: Option<f64>,
    lag_age_s: Option<f64>,
    parked: Option<f64>,
    stopped: Option<f64>,
    stuck: Option<f64>,
}

/// Upper bound of a bucket in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bound(u64);

/// Figures of one process as the page shows them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    name: String,
    requests_per_s: Option<f64>,
    /// Requests per second of each interval, the oldest first.
    history: Vec<f64>,
    /// Part of requests that failed by fault of the server, 0 to 1.
    error_rate: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    #[serde(flatten)]
    levels: Levels,
    problem: Option<String>,
}

// === impl Gauges ===

impl Gauges {
    /// Returns the figures; reading goes on for a while after each call.
    pub(crate) fn figures(&self) -> Vec<Figures> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen = Some(Instant::now());
        self.seen.notify_one();
        let readings = state.of.iter();
        readings.map(|(name, of)| of.figures(name)).collect()
    }

    /// Reads all processes in intervals while somebody looks.
    pub(crate) async fn keep_reading(
        &self,
        processes: &tokio::sync::watch::Receiver<Vec<ProcessRow>>,
        fetch: &Fetch,
    ) {
        loop {
            if !self.is_seen() {
                self.seen.notified().await;
            }
            let rows = processes.borrow().clone();
            let read = rows.into_iter().filter(|row| row.has_metrics);
            let read = read.take(MAX_PROCESSES).map(|row| async move {
                let answer = fetch.get(row.address, "/metrics").await;
                (row.name, answer)
            });
            for (name, answer) in futures::future::join_all(read).await {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.of.entry(name).or_default().add(answer);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn is_seen(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.is_some_and(|seen| seen.elapsed() < UNSEEN)
    }
}

// === impl ProcessReadings ===

impl ProcessReadings {
    fn add(&mut self, answer: Result<(StatusCode, bytes::Bytes), FetchError>) {
        let body = match answer {
            Ok((StatusCode::OK, body)) => body,
            Ok((status, _)) => return self.problem = Some(format!("/metrics: {status}")),
            Err(error) => return self.problem = Some(error.to_string()),
        };
        self.problem = None;
        let reading = Reading::of(&String::from_utf8_lossy(&body));
        let before = self.kept.back();
        if before.is_some_and(|(_, before)| before.requests > reading.requests) {
            // It has restarted, and counts from zero.
            self.kept.clear();
        }
        self.kept.push_back((Instant::now(), reading));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    fn figures(&self, name: &str) -> Figures {
        let mut figures = Figures {
            name: name.to_owned(),
            problem: self.problem.clone(),
            ..Figures::default()
        };
        let Some((_, last)) = self.kept.back() else {
            return figures;
        };
        let readings = self.kept.iter();
        let pairs = readings.clone().zip(readings.skip(1));
        figures.history = pairs.map(|(one, next)| rate(one, next)).collect();
        if let Some(before) = self
            .kept
            .iter()
            .rev()
            .nth(RATE_OVER.min(self.kept.len() - 1))
            && let Some(now) = self.kept.back()
            && self.kept.len() > 1
        {
            let (requests, faults) = (
                last.requests - before.1.requests,
                last.faults - before.1.faults,
            );
            figures.requests_per_s = Some(rate(before, now));
            figures.error_rate = (requests > 0.0).then(|| faults / requests);
        }
        if let Some((_, first)) = self.kept.front() {
            let quantile = |part| quantile(&first.buckets, &last.buckets, part);
            (figures.p50_ms, figures.p99_ms) = (quantile(0.5), quantile(0.99));
        }
        figures.levels = last.levels.clone();
        figures
    }
}

// === impl Reading ===

impl Reading {
    /// Reads the text format of Prometheus, 0.0.4.
    fn of(text: &str) -> Self {
        let mut calls = Self::default();
        let mut requests = Self::default();
        let has_calls = text.lines().any(|line| line.starts_with(CALLS));
        for line in text.lines() {
            let Some((name, labels, value)) = sample(line) else {
                continue;
            };
            match name.strip_prefix(CALLS) {
                Some(part) => calls.count(part, labels, value),
                None => match name.strip_prefix(REQUESTS) {
                    Some(part) => requests.count(part, labels, value),
                    None => calls.levels.note(name, value),
                },
            }
        }
        if !has_calls {
            calls.requests = requests.requests;
            calls.faults = requests.faults;
            calls.buckets = requests.buckets;
        }
        calls
    }

    /// Adds a sample of a histogram of durations. Calls that serve the mesh itself are left out,
    /// and so the dashboard's own.
    fn count(&mut self, part: &str, labels: &str, value: f64) {
        let method = label(labels, "rpc_method").unwrap_or_default();
        let route = label(labels, "http_route").unwrap_or_default();
        let is_own = OWN_METHODS.iter().any(|own| method.starts_with(own));
        if is_own || route.starts_with(OWN_ROUTES) {
            return;
        }
        match part {
            "_count" => {
                self.requests += value;
                let is_fault = label(labels, "rpc_response_status_code")
                    .map(|code| FAULTS.contains(&code))
                    .or_else(|| {
                        label(labels, "http_response_status_code").map(|code| code.starts_with('5'))
                    });
                if is_fault == Some(true) {
                    self.faults += value;
                }
            }
            "_bucket" => {
                let bound = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok());
                if let Some(bound) = bound {
                    *self.buckets.entry(Bound::of(bound)).or_default() += value;
                }
            }
            _ => {}
        }
    }
}

// === impl Levels ===

impl Levels {
    fn note(&mut self, name: &str, value: f64) {
        let most = |figure: &mut Option<f64>| *figure = Some(figure.unwrap_or(0.0).max(value));
        let sum = |figure: &mut Option<f64>| *figure = Some(figure.unwrap_or(0.0) + value);
        match name {
            "http_server_active_requests" => self.active = value,
            "process_resident_memory_bytes" => self.memory_bytes = value,
            "events_outbox_rows" => sum(&mut self.outbox),
            "events_consumer_pending" => sum(&mut self.lag),
            "events_consumer_oldest_age_seconds" => most(&mut self.lag_age_s),
            "events_parked_keys" => sum(&mut self.parked),
            "events_stopped_keys" => sum(&mut self.stopped),
            "saga_stuck_instances" => sum(&mut self.stuck),
            _ => {}
        }
    }
}

// === impl Bound ===

impl Bound {
    fn of(seconds: f64) -> Self {
        match seconds.is_finite() {
            // Bounds are positive, and below the age of the world.
            true => Self((seconds * 1e6) as u64),
            false => Self(u64::MAX),
        }
    }
}

/// Splits a line into name, labels and value; `None` for a comment.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some((name, labels, value.parse().ok()?))
}

/// Returns the value of a label; none of those that are read here holds a quotation mark.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        if key.trim_start_matches(',') == name {
            return Some(value);
        }
        rest = after;
    }
}

fn rate(one: &(Instant, Reading), next: &(Instant, Reading)) -> f64 {
    let seconds = (next.0 - one.0).as_secs_f64();
    match seconds > 0.0 {
        true => (next.1.requests - one.1.requests) / seconds,
        false => 0.0,
    }
}

/// Returns a quantile in milliseconds of what was counted between two readings, as Prometheus
/// interpolates it; the highest finite bound if it is above that.
fn quantile(before: &BTreeMap<Bound, f64>, after: &BTreeMap<Bound, f64>, part: f64) -> Option<f64> {
    let counts: Vec<(Bound, f64)> = after
        .iter()
        .map(|(bound, count)| (*bound, count - before.get(bound).copied().unwrap_or(0.0)))
        .collect();
    let total = counts.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let wanted = total * part;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if bound.0 == u64::MAX {
            return Some(low);
        }
        let high = bound.0 as f64 / 1_000.0;
        if count >= wanted {
            let within = count - below;
            let place = if within > 0.0 {
                (wanted - below) / within
            } else {
                1.0
            };
            return Some(low + (high - low) * place);
        }
        (low, below) = (high, count);
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP rpc_server_call_duration_seconds Duration
rpc_server_call_duration_seconds_sum{rpc_method="a/B",rpc_response_status_code="OK"} 1.5
rpc_server_call_duration_seconds_count{rpc_method="a/B",rpc_response_status_code="OK"} 8
rpc_server_call_duration_seconds_count{rpc_method="a/B",rpc_response_status_code="INTERNAL"} 2
rpc_server_call_duration_seconds_bucket{le="0.001",rpc_method="a/B",rpc_response_status_code="OK"} 4
rpc_server_call_duration_seconds_bucket{le="0.01",rpc_method="a/B",rpc_response_status_code="OK"} 8
rpc_server_call_duration_seconds_bucket{le="+Inf",rpc_method="a/B",rpc_response_status_code="OK"} 10
rpc_server_call_duration_seconds_count{rpc_method="mesh.ops.v1.DeskService/ListActs",rpc_response_status_code="INTERNAL"} 5
http_server_request_duration_seconds_count{http_route="/v1/b",http_response_status_code="500"} 10
http_server_request_duration_seconds_count{http_route="/-/acts",http_response_status_code="500"} 5
events_consumer_pending{consumer="a"} 3
events_consumer_pending{consumer="b"} 4
events_outbox_rows 7
process_resident_memory_bytes 1048576
"#;

    #[test]
    fn a_call_by_rest_is_counted_once_and_those_of_operators_are_not() {
        let reading = Reading::of(TEXT);
        assert_eq!((reading.requests, reading.faults), (10.0, 2.0));
        assert_eq!(
            (reading.levels.lag, reading.levels.outbox),
            (Some(7.0), Some(7.0))
        );
        assert_eq!(reading.levels.memory_bytes, 1_048_576.0);
        let rest = TEXT.lines().filter(|line| !line.starts_with("rpc_"));
        let rest = Reading::of(&rest.collect::<Vec<_>>().join("\n"));
        assert_eq!((rest.requests, rest.faults), (10.0, 10.0));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let reading = Reading::of(TEXT);
        let none = BTreeMap::new();
        assert_eq!(quantile(&none, &reading.buckets, 0.2), Some(0.5));
        assert_eq!(quantile(&none, &reading.buckets, 0.6), Some(5.5));
        assert_eq!(quantile(&none, &reading.buckets, 0.99), Some(10.0));
        assert_eq!(quantile(&reading.buckets, &reading.buckets, 0.5), None);
    }

    #[tokio::test(start_paused = true)]
    async fn rates_begin_anew_after_a_restart() {
        let mut of = ProcessReadings::default();
        let add = |of: &mut ProcessReadings, requests: u64| {
            let text = format!("{REQUESTS}_count{{}} {requests}\n");
            of.add(Ok((StatusCode::OK, text.into())));
        };
        for requests in [0, 10, 30] {
            add(&mut of, requests);
            tokio::time::advance(INTERVAL).await;
        }
        let figures = of.figures("a");
        assert_eq!(figures.requests_per_s, Some(7.5));
        assert_eq!(figures.history, [5.0, 10.0]);
        add(&mut of, 2);
        assert_eq!(of.figures("a").requests_per_s, None);
    }
}
