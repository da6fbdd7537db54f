//! A limit that is ready for use, and what it decides.

use std::sync::OnceLock;
use std::time::Duration;

use contract::{CountedBy, RateLimit, WhenAway};

use crate::budget::Rule;
use crate::metrics::{Counters, Metrics};

/// A limit that is ready for use.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The name in headers, errors and metrics.
    pub name: Box<str>,
    /// Scope of the count.
    pub by: CountedBy,
    /// Units of one request.
    pub cost: u64,
    pub(crate) rule: Rule,
    pub(crate) when_away: WhenAway,
    counters: OnceLock<Counters>,
    /// The name in keys of the store, with the numbers: changed ones begin anew.
    pub(crate) id: Box<str>,
}

/// The part of a limit that a subject has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Units that are left, as far as the process knows.
    pub remaining: u64,
    /// Time until the limit is unused again.
    pub reset: Duration,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Admitted(Standing),
    /// It has to wait; `None`: it costs more than the limit ever has.
    Refused(Standing, Option<Duration>),
    /// The store is away, and the limit refuses without it.
    Unavailable,
}

// === impl Limit ===

impl Limit {
    /// Makes a limit ready for use.
    pub fn new(limit: &RateLimit) -> Self {
        let rule = Rule::of(limit);
        let kind = if rule.is_window { 'w' } else { 'b' };
        let Rule {
            units,
            period,
            capacity,
            ..
        } = rule;
        Self {
            id: format!("{}:{kind}{units}.{period}.{capacity}", limit.name).into(),
            name: limit.name.clone(),
            by: limit.by,
            cost: limit.cost.max(1),
            rule,
            when_away: limit.when_away,
            counters: OnceLock::new(),
        }
    }

    pub(crate) fn counters(&self, metrics: &Metrics) -> &Counters {
        self.counters.get_or_init(|| metrics.of(&self.name))
    }

    /// Returns the rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Returns a line for people: what is counted, and how much of it.
    pub fn describe(&self) -> String {
        let Rule {
            units, capacity, ..
        } = self.rule;
        let period = Duration::from_millis(self.rule.period);
        let kind = match self.rule.is_window {
            true => "in each window".to_owned(),
            false => format!("at most {capacity} at once"),
        };
        let by = self.by.name();
        let (name, cost) = (&self.name, self.cost);
        format!("{name}: {units} per {period:?} by {by}, {kind}; a request costs {cost}")
    }
}
