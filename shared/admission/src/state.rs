//! The decisions of a limiter, without waiting and without a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use rpc::error::Fault;
use tokio::time::Instant;

use crate::client::{Request, hash};
use crate::controller::{Controller, Sample, Stamp};
use crate::estimate::{Estimates, Keys};
use crate::queue::{Call, Order, Queue, Waiter};
use crate::settings::AdmissionSettings;

/// The hold of a slot whose call was given up, relative to the expected service time: a server may
/// not notice, or ignore it.
const ABANDONED: f64 = 1.25;
/// The wait of a call while the queue is overloaded, relative to the mean service time.
const STALE: f64 = 1.5;
/// The least such wait.
const STALE_MIN: Duration = Duration::from_millis(20);
/// The wait from which a queue is overloaded, at least, relative to the mean service time.
const STANDING: f64 = 0.5;
/// The time without a call that waited for too long after which a queue is no longer overloaded.
const RECOVERY: Duration = Duration::from_secs(1);
/// How far clients may be apart in slot time, relative to the mean service time.
const SLACK: f64 = 2.0;
/// The part of the limit beyond it that is for clients with less than their share.
const RESERVE: usize = 8;
/// The longest wait of a call without a deadline.
const MAX_PATIENCE: Duration = Duration::from_secs(5);
/// The delay before a rejected caller should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The reason for a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// More calls than the server can work on.
    Overloaded,
    /// The same, and the client has more of them than other clients.
    OverShare,
    /// The call can't be answered before its deadline.
    TooLate,
}

/// The state of a limiter, for metrics and pages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Status {
    /// Calls that may be in flight.
    pub limit: usize,
    /// Calls in flight, those included that were given up a moment ago.
    pub in_flight: usize,
    /// Calls in the queue.
    pub queued: usize,
    /// Whether the newest calls are first.
    pub is_overloaded: bool,
    /// Mean service time.
    pub service_time: Duration,
    /// Calls admitted since the start.
    pub admitted: u64,
    /// Calls rejected since the start: overloaded, over their share, too late.
    pub refused: [u64; 3],
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    /// By an error that means overload.
    Failed,
    /// Given up before its answer.
    Abandoned,
    /// Never sent.
    Unused,
}

/// The answer to a call that asks for admission.
#[derive(Debug)]
pub(crate) enum Offer {
    /// Admitted, under this number.
    Admitted(u64),
    /// It may wait, until this time.
    Queued(Call, Instant),
    Refused(Refusal),
}

/// A decision about a call that was waiting.
pub(crate) type Decision<W> = (W, Result<u64, Refusal>);

/// A call in flight.
#[derive(Debug)]
struct Running {
    call: Call,
    began: Instant,
    stamp: Option<Stamp>,
}

/// The state of a limiter; `W` stands for a waiting call.
#[derive(Debug)]
pub(crate) struct State<W> {
    settings: AdmissionSettings,
    controller: Controller,
    estimates: Estimates,
    queue: Queue<W>,
    /// By number, and so by age.
    running: BTreeMap<u64, Running>,
    next: u64,
    /// When the queue was last overloaded, until it has recovered.
    overloaded: Option<Instant>,
    counts: Status,
    pub(crate) decisions: Vec<Decision<W>>,
}

// === impl State ===

impl<W> State<W> {
    pub(crate) fn new(settings: AdmissionSettings, now: Instant) -> Self {
        Self {
            controller: Controller::new(&settings, now),
            settings,
            estimates: Estimates::default(),
            queue: Queue::new(),
            running: BTreeMap::new(),
            next: 0,
            overloaded: None,
            counts: Status::default(),
            decisions: Vec::new(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            limit: self.controller.limit(),
            in_flight: self.running.len(),
            queued: self.queue.waiting(),
            is_overloaded: self.overloaded.is_some(),
            service_time: self.estimates.mean(),
            ..self.counts
        }
    }

    /// Admits a call, or says how long it may wait.
    pub(crate) fn offer(&mut self, request: &Request, now: Instant) -> Offer {
        self.forget_waiting_servers(now);
        let client = hash(&request.client);
        let keys = Keys {
            of_client: hash((client, request.class)),
            of_class: request.class,
        };
        let expected = self.estimates.expected(keys);
        let call = Call {
            client,
            criticality: request.criticality,
            keys,
            deadline: request.deadline,
            cost: expected.as_secs_f64(),
        };
        if self.has_slot_for(&call) {
            self.queue.begin(&call);
            return Offer::Admitted(self.start(call, now));
        }
        let longest = now + MAX_PATIENCE;
        let give_up = call
            .deadline
            .map_or(Some(longest), |at| at.checked_sub(expected));
        match give_up.filter(|give_up| *give_up > now) {
            Some(give_up) if self.settings.max_queue > 0 => {
                Offer::Queued(call, give_up.min(longest))
            }
            Some(_) => Offer::Refused(self.refuse(client)),
            None => {
                self.count(Refusal::TooLate);
                Offer::Refused(Refusal::TooLate)
            }
        }
    }

    /// Queues a call and returns its number.
    pub(crate) fn enqueue(&mut self, call: Call, give_up: Instant, handle: W, now: Instant) -> u64 {
        let id = self.number();
        self.queue.push(Waiter {
            id,
            call,
            since: now,
            give_up,
            handle,
        });
        if self.queue.waiting() > self.settings.max_queue
            && let Some(excess) = self.queue.pop_excess()
        {
            self.overloaded = Some(now);
            self.reject(excess);
        }
        self.pump(now);
        id
    }

    /// Takes a call from the queue that no longer waits; returns why it is rejected, `None` if it
    /// has left the queue already.
    pub(crate) fn leave(&mut self, call: &Call, id: u64) -> Option<Refusal> {
        let refusal = self.refusal(call.client);
        self.queue.remove(call, id)?;
        Some(refusal)
    }

    pub(crate) fn count(&mut self, refusal: Refusal) {
        self.counts.refused[refusal as usize] += 1;
    }

    /// Ends a call. Returns the time after which its slot has to be released by
    /// [`State::release`], if it is not yet.
    pub(crate) fn end(&mut self, id: u64, outcome: Outcome, now: Instant) -> Option<Duration> {
        let running = self.running.get(&id)?;
        let (call, elapsed) = (running.call, now - running.began);
        let expected = self.estimates.expected(call.keys).mul_f64(ABANDONED);
        if outcome == Outcome::Abandoned {
            let is_late = call.deadline.is_some_and(|deadline| now >= deadline);
            // How long it would have taken is unknown, but not less than this.
            let took = (elapsed > expected).then_some(elapsed);
            let sample = self.sample(id, took, is_late)?;
            self.measure(call.keys, took, sample, now);
            let rest = expected.saturating_sub(elapsed);
            if !rest.is_zero() {
                self.pump(now);
                return Some(rest);
            }
        } else if outcome != Outcome::Unused {
            let is_failed = outcome == Outcome::Failed;
            let took = (!is_failed).then_some(elapsed);
            let sample = self.sample(id, took, is_failed)?;
            self.measure(call.keys, took, sample, now);
        }
        self.release(id, now);
        None
    }

    /// Frees the slot of a call.
    pub(crate) fn release(&mut self, id: u64, now: Instant) {
        if let Some(running) = self.running.remove(&id) {
            let held = (now - running.began).as_secs_f64();
            self.queue.end(&running.call, held);
        }
        self.pump(now);
    }

    fn sample(&self, id: u64, took: Option<Duration>, is_failed: bool) -> Option<Sample> {
        let running = self.running.get(&id)?;
        Some(Sample {
            stamp: running.stamp,
            took: took.map(|took| took.as_secs_f64()),
            kind: running.call.keys.of_client,
            is_failed,
            is_bound: self.queue.waiting() > 0,
        })
    }

    fn measure(&mut self, keys: Keys, took: Option<Duration>, sample: Sample, now: Instant) {
        if let Some(took) = took {
            self.estimates.observe(keys, took);
        }
        let (mean, variation) = (self.estimates.mean(), self.estimates.variation());
        self.controller.end(sample, mean, variation, now);
    }

    /// Begins as many waiting calls as there are slots, and rejects those that waited for too long.
    fn pump(&mut self, now: Instant) {
        let mean = self.estimates.mean();
        if self.queue.waiting() == 0 {
            // Empty for a moment is not recovered: calls end in groups.
            let is_over = |since: &Instant| now - *since > RECOVERY.max(mean.mul_f64(STANDING));
            self.overloaded = self.overloaded.filter(|since| !is_over(since));
            return;
        }
        let standing = self.settings.max_wait().max(mean.mul_f64(STANDING));
        if self.queue.oldest(now) > standing {
            self.overloaded = Some(now);
        }
        let order = match self.overloaded {
            Some(_) => Order::NewestFirst,
            None => Order::OldestFirst,
        };
        let slack = mean.as_secs_f64() * SLACK;
        while self.running.len() < self.controller.allowed()
            && let Some(waiter) = self.queue.pop(order, slack)
        {
            if now > waiter.give_up {
                self.queue.end(&waiter.call, 0.0);
                self.reject(waiter);
                continue;
            }
            let id = self.start(waiter.call, now);
            self.decisions.push((waiter.handle, Ok(id)));
        }
        if self.overloaded.is_some() {
            let patience = mean.mul_f64(STALE).max(STALE_MIN);
            while let Some(stale) = self.queue.pop_stale(patience, now) {
                self.overloaded = Some(now);
                self.reject(stale);
            }
        }
    }

    fn has_slot_for(&self, call: &Call) -> bool {
        let (allowed, in_flight) = (self.controller.allowed(), self.running.len());
        let reserve = allowed + allowed / RESERVE + 1;
        (self.queue.waiting() == 0 && in_flight < allowed)
            || (in_flight < reserve && self.queue.is_quiet(call.client, allowed))
    }

    fn start(&mut self, call: Call, now: Instant) -> u64 {
        let id = self.number();
        let in_flight = self.running.len() + 1;
        let stamp = self.controller.begin(in_flight, self.estimates.mean(), now);
        let running = Running {
            call,
            began: now,
            stamp,
        };
        self.running.insert(id, running);
        self.counts.admitted += 1;
        id
    }

    /// Stops counting calls whose server seems to wait for something, such as long polls.
    fn forget_waiting_servers(&mut self, now: Instant) {
        let hold = self.settings.max_hold();
        while let Some(oldest) = self.running.first_entry()
            && now - oldest.get().began > hold
        {
            let running = oldest.remove();
            self.queue.end(&running.call, hold.as_secs_f64());
        }
    }

    fn reject(&mut self, waiter: Waiter<W>) {
        let refusal = self.refuse(waiter.call.client);
        self.decisions.push((waiter.handle, Err(refusal)));
    }

    fn refuse(&mut self, client: u64) -> Refusal {
        let refusal = self.refusal(client);
        self.count(refusal);
        refusal
    }

    fn refusal(&self, client: u64) -> Refusal {
        match self.queue.is_over_share(client) {
            true => Refusal::OverShare,
            false => Refusal::Overloaded,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

// === impl Refusal ===

impl Refusal {
    /// Every reason, in the order of [`Status::refused`].
    pub const ALL: [Self; 3] = [Self::Overloaded, Self::OverShare, Self::TooLate];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::OverShare => "over_share",
            Self::TooLate => "too_late",
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let fault = match refusal {
            Refusal::Overloaded => Self::unavailable(
                "OVERLOADED",
                "the server is overloaded; the call had no effect",
            ),
            Refusal::OverShare => Self::resource_exhausted(
                "CLIENT_OVER_SHARE",
                "the server is overloaded, and this client has more calls than others",
            ),
            Refusal::TooLate => Self::unavailable(
                "DEADLINE_TOO_SHORT",
                "the server is overloaded and can't answer before the deadline",
            ),
        };
        fault.retry_after(RETRY_AFTER)
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        Fault::from(refusal).into()
    }
}
