//! The shared budgets: one script, which settles the last lease of a process and grants the next.

use rand::Rng as _;
use valkey::redis::Script;
use valkey::{Error, Valkey};

use crate::budget::Rule;
use crate::lease::Grant;

const SCRIPT: &str = include_str!("store/lease.lua");

/// A question to the store.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The key of the budget.
    pub(crate) key: String,
    pub(crate) rule: Rule,
    /// The number of the lease that is asked for.
    pub(crate) sequence: u64,
    /// The last lease and what was not spent of it.
    pub(crate) closed: Option<(u64, u64)>,
    /// Units that are needed; 0 to settle only.
    pub(crate) need: u64,
    /// Units that are asked for.
    pub(crate) want: u64,
    pub(crate) ttl: u64,
}

/// The budgets of all processes.
#[derive(Debug)]
pub(crate) struct Store {
    valkey: Valkey,
    script: Script,
    /// This process: a new one at each start, so that the leases of its predecessor end.
    process: String,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(valkey: Valkey) -> Self {
        let process: u64 = rand::rng().random();
        Self {
            valkey,
            script: Script::new(SCRIPT),
            process: format!("p{process:016x}"),
        }
    }

    pub(crate) fn valkey(&self) -> &Valkey {
        &self.valkey
    }

    pub(crate) async fn ask(&self, question: &Question) -> Result<Grant, Error> {
        let rule = &question.rule;
        let kind = if rule.is_window { "window" } else { "bucket" };
        let (closed, unspent) = question.closed.unwrap_or((0, 0));
        let numbers = [
            rule.units,
            rule.period,
            rule.capacity,
            question.sequence,
            closed,
            unspent,
            question.need,
            question.want,
            question.ttl,
        ];
        let numbers = numbers.map(|number| number.to_string());
        let mut arguments = vec![kind, &self.process];
        arguments.extend(numbers.iter().map(String::as_str));
        let keys = [question.key.as_str()];
        let answer = self.valkey.script(&self.script, &keys, &arguments);
        let (granted, ttl, remaining, wait, reset): (u64, u64, u64, u64, u64) = answer.await?;
        Ok(Grant {
            granted,
            ttl,
            remaining,
            wait,
            reset,
        })
    }
}
