//! Instances of sagas, as steps see them.

use uuid::Uuid;

use crate::definition::{Outcome, Step};

/// An instance whose step is to be taken.
#[derive(Clone, Debug)]
pub struct Instance<S> {
    /// The subject of the saga.
    pub id: Uuid,
    /// The key that it was begun with.
    pub key: String,
    /// The step to take.
    pub step: S,
    /// The end that compensation leads to; none on the way forward.
    pub outcome: Option<Outcome>,
    /// Attempts of this step that got no answer.
    pub attempts: u32,
    pub(crate) version: i64,
    pub(crate) traceparent: Option<String>,
    /// An operator gives the step up, for this reason.
    pub(crate) given_up: Option<String>,
}

/// A step that was taken, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move<S> {
    /// The subject of the saga.
    pub id: Uuid,
    /// The key that it was begun with.
    pub key: String,
    /// The step taken.
    pub taken: S,
    /// The next step; none at the end.
    pub next: Option<S>,
    /// The end that compensation leads to, or led to; none on the way forward.
    pub outcome: Option<Outcome>,
}

// === impl Instance ===

impl<S: Step> Instance<S> {
    /// Returns the idempotency key of a step: the same in every attempt, and of no other step or
    /// instance.
    pub fn idempotency_key(&self, step: S) -> String {
        let step: &'static str = step.into();
        format!("{}/{step}", self.id)
    }
}
