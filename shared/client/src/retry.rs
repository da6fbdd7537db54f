//! The attempts of one call: on another endpoint if none acted on it, repeated if the contract
//! allows it, hedged if it is slow.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admission::Holding;
use futures::FutureExt;
use futures::future::{Either, select};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use rpc::deadline::{self, GRPC_TIMEOUT};
use rpc::error;
use rpc::lock::lock;
use rpc::safety::Safety;
use telemetry::metrics;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tower::retry::budget::{Budget, TpsBudget};
use tracing::Span;

use crate::attempt::{AttemptError, Unsent};
use crate::breaker::Breaker;
use crate::cluster::Cluster;
use crate::endpoint::Endpoint;
use crate::exchange::{self, UpstreamResponse};
use crate::payload::Payload;

/// Attempts of one call, the first included (gRFC A6 allows 5; more retries are the caller's).
const ATTEMPTS_MAX: usize = 3;

/// Endpoints tried within one attempt, while none has acted on the request.
const UNSENT_MAX: usize = 4;

/// Full jitter between these, in milliseconds, so that callers that failed together don't return
/// together.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 20..=200;

/// Retries per call over the last [`BUDGET_WINDOW`]: a service that fails every call gets 20 % more
/// calls, not 200 %.
const BUDGET_RATIO: f32 = 0.2;

/// Retries per second beyond the ratio, so that an idle client can retry its only call.
const BUDGET_PER_SECOND: u32 = 10;

const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// A call with less time than this says nothing about an endpoint that did not answer in time.
const FAIR_WAIT: Duration = Duration::from_secs(1);

/// Header with the number of previous attempts (gRFC A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// One call and its attempts.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) breaker: &'a Breaker,
    pub(crate) budget: &'a TpsBudget,
    /// `None` without metrics.
    pub(crate) counts: Option<&'a metrics::Upstream>,
    pub(crate) head: Parts,
    /// The memory of the request that the call is made for.
    pub(crate) holding: Option<Holding>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) safety: Safety,
    pub(crate) hedge_after: Option<Duration>,
    /// Whether an adaptive limit sees calls that end at their deadline. It answers to overload, for
    /// which an open circuit would reject everything.
    pub(crate) is_limited: bool,
    /// Endpoints that were tried.
    pub(crate) tried: Mutex<Vec<Arc<Endpoint>>>,
}

/// Creates the retry budget that all calls of one upstream share.
pub(crate) fn budget() -> TpsBudget {
    TpsBudget::new(BUDGET_WINDOW, BUDGET_PER_SECOND, BUDGET_RATIO)
}

impl Call<'_> {
    /// Makes attempts until the outcome is not UNAVAILABLE or a limit is reached.
    ///
    /// A response that has begun is final, whatever its trailers say (gRFC A6, "committed").
    pub(crate) async fn run(&self, mut payload: Payload) -> Result<UpstreamResponse, Status> {
        self.cluster
            .ready()
            .await
            .map_err(|failure| failure.status)?;
        let is_repeatable = self.safety.is_repeatable() && matches!(payload, Payload::Whole(_));
        if !is_repeatable {
            let outcome = self.attempt(&mut payload, 0).await;
            return outcome.map_err(|failure| failure.status);
        }
        self.budget.deposit();
        let mut previous = 0;
        loop {
            let outcome = match self.hedge_after.filter(|_| self.safety.is_hedgeable()) {
                Some(after) => {
                    // Boxed to keep the future of other calls small.
                    let payload = payload.take();
                    self.hedged(payload, previous, after).boxed().await
                }
                None => self.attempt(&mut payload.take(), previous).await,
            };
            previous += 1;
            if previous == ATTEMPTS_MAX || !is_unavailable(&outcome) {
                return outcome.map_err(|failure| failure.status);
            }
            let pause = Duration::from_millis(rand::random_range(BACKOFF_MS));
            let in_time = |deadline| Instant::now() + pause < deadline;
            if !self.deadline.is_none_or(in_time) || !self.budget.withdraw() {
                return outcome.map_err(|failure| failure.status);
            }
            tracing::debug!(attempt = previous, "upstream unavailable, retrying");
            self.count(metrics::Upstream::retry);
            sleep(pause).await;
        }
    }

    fn count(&self, note: impl FnOnce(&metrics::Upstream)) {
        if let Some(counts) = self.counts {
            note(counts);
        }
    }

    /// Sends a second request if the first is slow; the first good answer wins, and the other call
    /// is cancelled.
    async fn hedged(
        &self,
        mut payload: Payload,
        previous: usize,
        after: Duration,
    ) -> Result<UpstreamResponse, AttemptError> {
        let mut copy = payload.take();
        let mut first = pin!(self.attempt(&mut payload, previous));
        if let Either::Left((outcome, _)) = select(&mut first, pin!(sleep(after))).await {
            return outcome;
        }
        if !self.budget.withdraw() {
            return first.await;
        }
        let second = pin!(self.attempt(&mut copy, previous));
        match select(first, second).await {
            Either::Left((outcome, other)) => better(outcome, other).await,
            Either::Right((outcome, other)) => better(outcome, other).await,
        }
    }

    /// Sends the request to one endpoint after the other, while none has acted on it.
    async fn attempt(
        &self,
        payload: &mut Payload,
        previous: usize,
    ) -> Result<UpstreamResponse, AttemptError> {
        let mut last = None;
        for _ in 0..UNSENT_MAX {
            let may_repeat = match &last {
                None => true,
                Some(AttemptError { unsent, .. }) => *unsent == Some(Unsent::Refused),
            };
            let Some(endpoint) = self.pick(may_repeat) else {
                break;
            };
            match self.once(&endpoint, payload, previous).await {
                Err(failure) if failure.unsent.is_some() && !payload.is_consumed() => {
                    last = Some(failure);
                }
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(AttemptError::unreachable))
    }

    /// Picks an endpoint, if possible one that was not tried.
    fn pick(&self, may_repeat: bool) -> Option<Arc<Endpoint>> {
        let mut tried = lock(&self.tried);
        let picked = self.cluster.pick(&tried);
        let picked = picked.or_else(|| self.cluster.pick(&[]).filter(|_| may_repeat))?;
        tried.push(picked.clone());
        Some(picked)
    }

    async fn once(
        &self,
        endpoint: &Arc<Endpoint>,
        payload: &mut Payload,
        previous: usize,
    ) -> Result<UpstreamResponse, AttemptError> {
        let mut head = self.head.clone();
        if previous > 0 {
            head.headers
                .insert(PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
        }
        if let Some(deadline) = self.deadline {
            // Per attempt: a later one has less time.
            head.headers
                .insert(GRPC_TIMEOUT, deadline::header_value(deadline));
        }
        let span = Span::current();
        if !span.is_disabled() {
            telemetry::inject(&span, &mut head.headers);
        }
        let mut watch = AttemptRecord {
            call: self,
            endpoint,
            began: Instant::now(),
            is_noted: false,
        };
        let outcome = exchange::send(endpoint, head, payload, self.holding.as_ref()).await;
        watch.note(&outcome);
        outcome
    }
}

/// Records the outcome of an attempt, also of one that is dropped.
struct AttemptRecord<'a> {
    call: &'a Call<'a>,
    endpoint: &'a Arc<Endpoint>,
    began: Instant,
    is_noted: bool,
}

impl AttemptRecord<'_> {
    fn note(&mut self, outcome: &Result<UpstreamResponse, AttemptError>) {
        self.is_noted = true;
        let code = match outcome {
            Ok(answer) => answer_code(answer),
            Err(failure) => failure.status.code(),
        };
        let call = self.call;
        call.count(|counts| counts.attempt(code, self.began.elapsed()));
        match outcome {
            Err(failure) if !failure.is_of_endpoint => {}
            Ok(answer) if !is_unavailable_answer(answer) => {
                self.endpoint
                    .stats
                    .answered(answer.source.sent_at().elapsed());
                if call.breaker.answered() {
                    call.count(|counts| counts.breaker(metrics::Breaker::Closed));
                }
            }
            _ => self.failed(),
        }
    }

    fn failed(&self) {
        let call = self.call;
        self.endpoint_failed();
        if call.breaker.failed() {
            call.count(|counts| counts.breaker(metrics::Breaker::Open));
        }
    }

    fn endpoint_failed(&self) {
        let call = self.call;
        if call.cluster.failed(self.endpoint, self.began.elapsed()) {
            call.count(metrics::Upstream::ejected);
        }
    }
}

impl Drop for AttemptRecord<'_> {
    fn drop(&mut self) {
        // A call dropped before its deadline says nothing about the endpoint. One that reached it
        // does, unless the caller left too little time: callers must not open the circuit for
        // others.
        let is_late = self
            .call
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        match (self.is_noted, is_late) {
            (true, _) => {}
            (false, true) => {
                let late = Code::DeadlineExceeded;
                let took = self.began.elapsed();
                self.call.count(|counts| counts.attempt(late, took));
                if took < FAIR_WAIT {
                    self.endpoint.stats.abandoned(took);
                } else if self.call.is_limited {
                    self.endpoint_failed();
                } else {
                    self.failed();
                }
            }
            (false, false) => self.endpoint.stats.abandoned(self.began.elapsed()),
        }
    }
}

async fn better(
    outcome: Result<UpstreamResponse, AttemptError>,
    other: impl Future<Output = Result<UpstreamResponse, AttemptError>>,
) -> Result<UpstreamResponse, AttemptError> {
    if is_unavailable(&outcome) {
        other.await
    } else {
        outcome
    }
}

fn is_unavailable(outcome: &Result<UpstreamResponse, AttemptError>) -> bool {
    match outcome {
        Err(failure) => failure.status.code() == Code::Unavailable,
        Ok(answer) => is_unavailable_answer(answer),
    }
}

fn is_unavailable_answer(answer: &UpstreamResponse) -> bool {
    answer_code(answer) == Code::Unavailable
}

/// Returns the code in the head of an answer, OK if the code follows in trailers.
fn answer_code(answer: &UpstreamResponse) -> Code {
    let status = answer.head.headers().get(error::GRPC_STATUS);
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}
