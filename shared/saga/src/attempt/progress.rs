//! Instances in the course of an attempt: their answers, and the rows that follow.

use std::time::Duration;

use rpc::backoff::Backoff;

use crate::definition::{Answer, Definition, Next, Outcome, Step, Verdict};
use crate::instance::{Instance, Move};
use crate::settings::Settings;
use crate::store::{Entry, Row, State};

/// Pauses between attempts of a step that gets no answer.
const RETRY: Backoff = Backoff::full_jitter(Duration::from_millis(50), Duration::from_secs(15));

/// An instance in the course of an attempt.
pub(super) struct Progress<S> {
    pub(super) instance: Instance<S>,
    pub(super) overdue: bool,
    pub(super) fate: Fate<S>,
}

/// How it goes on after the transaction.
pub(super) enum Fate<S> {
    Next(S),
    End,
    Operator(String),
    Wait(Duration),
    Retry(String),
}

/// The writes of one transaction beside the instances.
pub(super) struct Writes<S> {
    pub(super) moves: Vec<Move<S>>,
    pub(super) log: Vec<Entry>,
}

// === impl Progress ===

impl<S: Step> Progress<S> {
    /// Settles the step that the instance is at.
    fn settle(&mut self, definition: &Definition<S>, answer: Answer, writes: &mut Writes<S>) {
        let step = self.instance.step;
        let name: &'static str = step.into();
        let (verdict, outcome) = match (self.instance.given_up.take(), answer) {
            (Some(reason), _) => (Verdict::GivenUp, Some(Outcome::failed(reason))),
            (None, Answer::Done) => (Verdict::Done, None),
            (None, Answer::Refused(outcome)) => (Verdict::Refused, Some(outcome)),
            (None, Answer::Failed(outcome)) => (Verdict::Failed, Some(outcome)),
            (None, Answer::Wait(pause)) => return self.fate = Fate::Wait(pause),
            (None, Answer::Unanswered(_)) if self.overdue && definition.is_until_deadline(step) => {
                let outcome = Outcome::failed(format!("{name}_TIMED_OUT"));
                (Verdict::Failed, Some(outcome))
            }
            (None, Answer::Unanswered(why)) => return self.fate = Fate::Retry(why),
        };
        let reason = outcome.as_ref().map(|outcome| outcome.reason.clone());
        let next = match definition.after(step, verdict) {
            Next::Operator | Next::Again => {
                let reason = reason.unwrap_or_else(|| "UNKNOWN_STEP".to_owned());
                self.fate = Fate::Operator(reason);
                return;
            }
            Next::Step(next) => Some(next),
            Next::End => None,
        };
        // The first failure names the end; compensations don't change it, nor what goes on forward.
        if self.instance.outcome.is_none() && definition.leads_back(step, verdict) {
            self.instance.outcome = outcome;
        }
        self.fate = next.map_or(Fate::End, Fate::Next);
        self.instance.step = next.unwrap_or(step);
        self.instance.attempts = 0;
        writes.log.push(Entry {
            id: self.instance.id,
            version: self.instance.version + 1,
            step: name,
            answer: verdict.into(),
            reason,
        });
        writes.moves.push(Move {
            id: self.instance.id,
            key: self.instance.key.clone(),
            taken: step,
            next,
            outcome: self.instance.outcome.clone(),
        });
    }

    /// Returns the row to write.
    pub(super) fn row(&self, settings: &Settings) -> Row {
        let failures = self.instance.attempts.saturating_add(1);
        let (state, problem, attempts, due_in) = match &self.fate {
            Fate::Next(_) => (State::Open, None, 0, settings.lease()),
            Fate::End => (State::Ended, None, 0, Duration::ZERO),
            Fate::Wait(pause) => (State::Open, None, self.instance.attempts, *pause),
            Fate::Operator(why) => (
                State::NeedsOperator,
                Some(why.clone()),
                self.instance.attempts,
                Duration::ZERO,
            ),
            Fate::Retry(why) if failures >= settings.max_attempts => (
                State::NeedsOperator,
                Some(why.clone()),
                failures,
                Duration::ZERO,
            ),
            Fate::Retry(why) => (
                State::Open,
                Some(why.clone()),
                failures,
                RETRY.pause(failures),
            ),
        };
        Row {
            id: self.instance.id,
            version: self.instance.version,
            step: self.instance.step.into(),
            state,
            outcome: self.instance.outcome.clone(),
            problem,
            attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            due_in,
        }
    }

    /// Returns the instance, as written, if it has another step to take.
    pub(super) fn goes_on(mut self) -> Option<Instance<S>> {
        self.instance.version += 1;
        matches!(self.fate, Fate::Next(_)).then_some(self.instance)
    }
}

/// Settles the step of the asked instances by their answers.
pub(super) fn settle<S: Step>(
    definition: &Definition<S>,
    progress: &mut [Progress<S>],
    asked: &[usize],
    answers: Vec<Answer>,
    writes: &mut Writes<S>,
) {
    for (&index, answer) in asked.iter().zip(answers) {
        progress[index].settle(definition, answer, writes);
    }
}

/// Returns a local step that an instance has come to in this attempt.
pub(super) fn next_local<S: Step>(
    progress: &[Progress<S>],
    definition: &Definition<S>,
) -> Option<S> {
    progress.iter().find_map(|progress| match progress.fate {
        Fate::Next(step) if definition.is_local(step) => Some(step),
        _ => None,
    })
}

/// Returns the indices of the instances that go on with `step`.
pub(super) fn at<S: Step>(progress: &[Progress<S>], step: S) -> Vec<usize> {
    let goes_on =
        |progress: &Progress<S>| matches!(progress.fate, Fate::Next(next) if next == step);
    (0..progress.len())
        .filter(|&index| goes_on(&progress[index]))
        .collect()
}
