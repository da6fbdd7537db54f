//! The attempts of one call: elsewhere when nobody acted on the request, again when the contract allows it, twice when it is slow.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use http::HeaderValue;
use http::request::Parts;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tower::retry::budget::{Budget, TpsBudget};
use tracing::Span;

use crate::breaker::Breaker;
use crate::cluster::Cluster;
use crate::endpoint::Endpoint;
use crate::exchange::{self, Answer};
use crate::failure::{Failure, Unsent};
use crate::payload::Payload;
use rpc::deadline::{self, GRPC_TIMEOUT};
use rpc::error;
use rpc::lock::lock;
use rpc::safety::Safety;
use telemetry::metrics;

/// Attempts of one call, the first one included (gRFC A6 allows 5; a deeper retry belongs to the caller).
const ATTEMPTS_MAX: usize = 3;

/// Attempts within one of these that nobody acted on; each goes to another endpoint, if there is one.
const UNSENT_MAX: usize = 4;

/// Full jitter between these, in milliseconds: callers that failed together must not return together.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 20..=200;

/// Retries per call over the last [`BUDGET_WINDOW`]: a service that fails every call sees 20 % more of them, not 200 %.
const BUDGET_RATIO: f32 = 0.2;

/// Retries that are free each second, so that a quiet client can retry its only call.
const BUDGET_PER_SECOND: u32 = 10;

const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// A call that had less time says nothing about an endpoint that did not answer in it.
const FAIR_WAIT: Duration = Duration::from_secs(1);

/// Header of the attempts before this one (gRFC A6).
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// One call, whatever number of attempts it takes.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) breaker: &'a Breaker,
    pub(crate) budget: &'a TpsBudget,
    /// `None` where nobody counts.
    pub(crate) counts: Option<&'a metrics::Upstream>,
    pub(crate) head: Parts,
    pub(crate) deadline: Option<Instant>,
    pub(crate) safety: Safety,
    pub(crate) hedge_after: Option<Duration>,
    /// Endpoints that had their chance.
    pub(crate) tried: Mutex<Vec<Arc<Endpoint>>>,
}

/// Makes the budget that all calls of one upstream share.
pub(crate) fn budget() -> TpsBudget {
    TpsBudget::new(BUDGET_WINDOW, BUDGET_PER_SECOND, BUDGET_RATIO)
}

impl Call<'_> {
    /// Tries until the outcome is not UNAVAILABLE, or a bound is reached.
    ///
    /// A response that has begun is final, whatever its trailers say (gRFC A6, "committed").
    pub(crate) async fn run(&self, mut payload: Payload) -> Result<Answer, Status> {
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
                    // In a box, so that calls without a second one need not make room for it.
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
            tracing::debug!(attempt = previous, "upstream unavailable, calling again");
            self.count(metrics::Upstream::retry);
            sleep(pause).await;
        }
    }

    fn count(&self, note: impl FnOnce(&metrics::Upstream)) {
        if let Some(counts) = self.counts {
            note(counts);
        }
    }

    /// Sends a second request if the first takes long; the first good answer counts, and the other call is cancelled.
    async fn hedged(
        &self,
        mut payload: Payload,
        previous: usize,
        after: Duration,
    ) -> Result<Answer, Failure> {
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

    /// Sends the request, to one endpoint after the other for as long as nobody has acted on it.
    async fn attempt(&self, payload: &mut Payload, previous: usize) -> Result<Answer, Failure> {
        let mut last = None;
        for _ in 0..UNSENT_MAX {
            let may_repeat = match &last {
                None => true,
                Some(Failure { unsent, .. }) => *unsent == Some(Unsent::Refused),
            };
            let Some(endpoint) = self.pick(may_repeat) else {
                break;
            };
            match self.once(&endpoint, payload, previous).await {
                Err(failure) if failure.unsent.is_some() && !payload.is_gone() => {
                    last = Some(failure);
                }
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(Failure::unreachable))
    }

    /// One that was not tried before, if there is one.
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
    ) -> Result<Answer, Failure> {
        let mut head = self.head.clone();
        if previous > 0 {
            head.headers
                .insert(PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
        }
        if let Some(deadline) = self.deadline {
            // Here and not earlier: a second attempt has less time than the first one had.
            head.headers
                .insert(GRPC_TIMEOUT, deadline::header_value(deadline));
        }
        let span = Span::current();
        if !span.is_disabled() {
            telemetry::inject(&span, &mut head.headers);
        }
        let mut watch = Watch {
            call: self,
            endpoint,
            began: Instant::now(),
            is_noted: false,
        };
        let outcome = exchange::send(endpoint, head, payload).await;
        watch.note(&outcome);
        outcome
    }
}

/// Notes what becomes of an attempt, also of one that nobody waits for any more.
struct Watch<'a> {
    call: &'a Call<'a>,
    endpoint: &'a Arc<Endpoint>,
    began: Instant,
    is_noted: bool,
}

impl Watch<'_> {
    fn note(&mut self, outcome: &Result<Answer, Failure>) {
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
                    .standing
                    .answered(answer.source.sent_at.elapsed());
                if call.breaker.answered() {
                    call.count(|counts| counts.breaker(metrics::Breaker::Closed));
                }
            }
            _ => self.failed(),
        }
    }

    fn failed(&self) {
        let call = self.call;
        if call.cluster.failed(self.endpoint, self.began.elapsed()) {
            call.count(metrics::Upstream::ejected);
        }
        if call.breaker.failed() {
            call.count(|counts| counts.breaker(metrics::Breaker::Open));
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // To give up before the deadline says nothing about the endpoint. To reach it does, unless the caller left too little time:
        // callers must not be able to break the circuit for others.
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
                    self.endpoint.standing.given_up(took);
                } else {
                    self.failed();
                }
            }
            (false, false) => self.endpoint.standing.given_up(self.began.elapsed()),
        }
    }
}

async fn better(
    outcome: Result<Answer, Failure>,
    other: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    if is_unavailable(&outcome) {
        other.await
    } else {
        outcome
    }
}

fn is_unavailable(outcome: &Result<Answer, Failure>) -> bool {
    match outcome {
        Err(failure) => failure.status.code() == Code::Unavailable,
        Ok(answer) => is_unavailable_answer(answer),
    }
}

fn is_unavailable_answer(answer: &Answer) -> bool {
    answer_code(answer) == Code::Unavailable
}

/// The code that an answer begins with; of one whose code is still to come, OK.
fn answer_code(answer: &Answer) -> Code {
    let status = answer.head.headers().get(error::GRPC_STATUS);
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}
