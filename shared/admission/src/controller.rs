//! The limit: two levels of load, one shortly after the other, tell how many calls the server works
//! on at once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::settings::AdmissionSettings;

/// The lower level, relative to the limit.
const PROBE: f64 = 0.85;
/// The limit, relative to the number of calls that the server works on.
const HEADROOM: f64 = 1.07;
/// Service times that a measurement takes at the limit, while the limit is right.
const SETTLED: f64 = 10.0;
/// The same, while the limit moves.
const MOVING: f64 = 2.0;
/// Service times after which a level is left without enough samples.
const PATIENCE: f64 = 6.0;
/// The standard error of a mean that a level should reach.
const PRECISION: f64 = 0.05;
/// Samples of a level, relative to the calls in flight.
const ROUNDS: f64 = 2.0;
/// Samples of a level that precision may ask for.
const MAX_SAMPLES: f64 = 400.0;
/// Kinds of calls that are compared at once.
const MAX_KINDS: usize = 256;
/// The part of a range in which the limit is below the capacity, and from which it is above.
const IDLE: f64 = 0.12;
const FULL: f64 = 0.68;
/// The part of failed calls from which load below the limit counts as too much: a majority, so
/// that one caller who provokes failures lowers the limit for no other.
const FAILING: f64 = 0.5;
/// Successes at the limit, relative to those at the lower level, below which load is the cause.
const CAUSED: f64 = 0.95;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Limit,
    Probe,
}

/// The direction of the last change, with the number of changes in that direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    Up(u32),
    Steady,
    Down(u32),
}

/// The samples of one level.
#[derive(Debug, Default)]
struct Samples {
    count: f64,
    failed: f64,
    /// Number and sum of service times by kind of call.
    kinds: HashMap<u64, (f64, f64)>,
    /// Sum of the calls in flight when these began.
    in_flight: f64,
    /// Those after whose end a call was waiting.
    bound: f64,
}

/// The limit of calls in flight.
#[derive(Debug)]
pub(crate) struct Controller {
    min: f64,
    max: f64,
    limit: f64,
    level: Level,
    trend: Trend,
    /// Number of the phase; a call belongs to the phase it began in.
    phase: u64,
    since: Instant,
    settled: Option<Instant>,
    samples: Samples,
    at_limit: Samples,
}

/// The phase that a call began in, and the calls in flight then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    phase: u64,
    in_flight: usize,
}

/// The end of a call, as a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) stamp: Option<Stamp>,
    /// In seconds; `None` if it tells nothing.
    pub(crate) took: Option<f64>,
    /// Calls of one kind are compared with each other.
    pub(crate) kind: u64,
    /// Whether the server was too loaded to answer.
    pub(crate) is_failed: bool,
    /// Whether a call is waiting.
    pub(crate) is_bound: bool,
}

// === impl Controller ===

impl Controller {
    pub(crate) fn new(settings: &AdmissionSettings, now: Instant) -> Self {
        Self {
            min: settings.min_limit as f64,
            max: settings.max_limit as f64,
            limit: settings.initial_limit as f64,
            level: Level::Limit,
            // The initial limit is a guess.
            trend: Trend::Down(0),
            phase: 0,
            since: now,
            settled: None,
            samples: Samples::default(),
            at_limit: Samples::default(),
        }
    }

    /// Returns the limit, without regard to probes.
    pub(crate) fn limit(&self) -> usize {
        self.limit.round() as usize
    }

    /// Returns the calls that may be in flight now.
    pub(crate) fn allowed(&self) -> usize {
        match self.level {
            Level::Limit => self.limit(),
            Level::Probe => self.probe(),
        }
    }

    /// Begins a call; `in_flight` includes it.
    pub(crate) fn begin(
        &mut self,
        in_flight: usize,
        mean: Duration,
        now: Instant,
    ) -> Option<Stamp> {
        self.settle(in_flight, mean, now);
        self.settled.map(|_| Stamp {
            phase: self.phase,
            in_flight,
        })
    }

    /// Ends a call that was answered.
    pub(crate) fn end(&mut self, sample: Sample, mean: Duration, variation: f64, now: Instant) {
        if let Some(stamp) = sample.stamp.filter(|stamp| stamp.phase == self.phase) {
            self.samples.add(sample, stamp);
        }
        self.advance(mean, variation, now);
    }

    /// Begins to measure as soon as the load is that of the level.
    fn settle(&mut self, in_flight: usize, mean: Duration, now: Instant) {
        let is_settled = match self.level {
            // Until the calls of the last phase are gone.
            Level::Limit => now >= self.since + mean,
            Level::Probe => in_flight <= self.probe() || now >= self.since + mean,
        };
        if is_settled && self.settled.is_none() {
            self.settled = Some(now);
        }
    }

    /// Leaves the level once it is measured.
    fn advance(&mut self, mean: Duration, variation: f64, now: Instant) {
        let Some(settled) = self.settled else { return };
        let elapsed = (now - settled).as_secs_f64() / mean.as_secs_f64().max(1e-6);
        let exact = (variation / (PRECISION * PRECISION)).min(MAX_SAMPLES);
        // Whole rounds of the level, as calls may begin and end in groups.
        let has_enough = self.samples.count >= exact.max(self.allowed() as f64 * ROUNDS);
        match self.level {
            Level::Limit => {
                let needed = match self.trend {
                    Trend::Steady => SETTLED,
                    Trend::Up(_) | Trend::Down(_) => MOVING,
                };
                if elapsed >= needed && (has_enough || elapsed >= 2.0 * SETTLED) {
                    self.leave_limit(now);
                }
            }
            Level::Probe if has_enough || elapsed >= PATIENCE => {
                if self.samples.is_bound() {
                    self.decide();
                }
                self.enter(Level::Limit, now);
            }
            Level::Probe => {}
        }
    }

    fn leave_limit(&mut self, now: Instant) {
        if !self.samples.is_bound() {
            // Without a queue the limit limits nothing, and there is nothing to learn; unless the
            // server does not bear even this load.
            if self.samples.failed >= FAILING * self.samples.count && self.samples.count >= 10.0 {
                self.set(self.samples.level().min(self.limit));
            }
            self.enter(Level::Limit, now);
        } else if self.limit() > 1 {
            self.at_limit = std::mem::take(&mut self.samples);
            self.enter(Level::Probe, now);
        } else {
            self.set(2.0);
            self.enter(Level::Limit, now);
        }
    }

    /// Moves the limit. With n calls worked on at once, service times are constant up to n calls
    /// in flight and proportional to the calls in flight beyond (Little's law), so that the ratio
    /// of the two service times tells n, whatever the service time of an idle server is.
    fn decide(&mut self) {
        let high = std::mem::take(&mut self.at_limit);
        let low = std::mem::take(&mut self.samples);
        let levels = high.level() / low.level();
        if !levels.is_finite() || levels < 1.02 {
            return;
        }
        if high.successes() < low.successes() * CAUSED {
            return self.lower(low.level());
        }
        let ratio = high.slowness(&low).max(1.0);
        if !ratio.is_finite() {
            return;
        }
        let position = (ratio - 1.0) / (levels - 1.0);
        if position < IDLE {
            self.raise();
        } else if position > FULL {
            self.lower(low.level());
        } else {
            self.trend = Trend::Steady;
            let slots = high.level() / ratio;
            let wanted = (slots * HEADROOM).max(slots + 1.0);
            self.set((self.limit + wanted) / 2.0);
        }
    }

    fn raise(&mut self) {
        let (steps, factor) = match self.trend {
            Trend::Up(1) => (2, 1.25),
            Trend::Up(steps) => (steps + 1, 1.5),
            Trend::Steady | Trend::Down(_) => (1, 1.1),
        };
        self.trend = Trend::Up(steps);
        self.set((self.limit * factor).max(self.limit + 1.0));
    }

    fn lower(&mut self, level: f64) {
        let (steps, factor) = match self.trend {
            Trend::Down(steps) => (steps + 1, 0.8),
            Trend::Steady | Trend::Up(_) => (1, 1.0),
        };
        self.trend = Trend::Down(steps);
        self.set((level * factor).min(self.limit - 1.0));
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(self.min, self.max);
    }

    fn enter(&mut self, level: Level, now: Instant) {
        self.level = level;
        self.phase += 1;
        self.since = now;
        self.settled = None;
        self.samples = Samples::default();
    }

    fn probe(&self) -> usize {
        let below = self.limit().saturating_sub(1).max(1);
        ((self.limit * PROBE) as usize).clamp(1, below)
    }
}

// === impl Samples ===

impl Samples {
    fn add(&mut self, sample: Sample, stamp: Stamp) {
        self.count += 1.0;
        self.failed += f64::from(u8::from(sample.is_failed));
        if let Some(took) = sample.took
            && (self.kinds.len() < MAX_KINDS || self.kinds.contains_key(&sample.kind))
        {
            let (count, sum) = self.kinds.entry(sample.kind).or_default();
            *count += 1.0;
            *sum += took;
        }
        self.in_flight += stamp.in_flight as f64;
        self.bound += f64::from(u8::from(sample.is_bound));
    }

    /// Whether most calls ended while another waited.
    fn is_bound(&self) -> bool {
        self.count >= 1.0 && self.bound >= self.count * 0.75
    }

    /// The part of calls that did not fail.
    fn successes(&self) -> f64 {
        1.0 - self.failed / self.count
    }

    /// Calls in flight, on average.
    fn level(&self) -> f64 {
        self.in_flight / self.count
    }

    /// Returns how much longer these calls took than those of `low`, if they were the same kinds in
    /// the same numbers.
    fn slowness(&self, low: &Self) -> f64 {
        let mut sums = (0.0, 0.0);
        for (kind, (count, took)) in &low.kinds {
            if let Some((count_here, took_here)) = self.kinds.get(kind) {
                sums.0 += took_here / count_here * count;
                sums.1 += took;
            }
        }
        sums.0 / sums.1
    }
}
