//! A saga as a table: its stages in order, and the step that follows each answer.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use tonic::{Code, Status};

/// The end of a saga that failed in a way without a name of its own.
pub const FAILED: &str = "FAILED";

/// A step: an enum whose names are stable, as `strum` derives them. The names are stored.
pub trait Step: Copy + Debug + Eq + Send + Sync + FromStr + Into<&'static str> + 'static {}

impl<T> Step for T where T: Copy + Debug + Eq + Send + Sync + FromStr + Into<&'static str> + 'static {}

/// A saga: its stages, taken from first to last. Once a stage fails, the compensations of those
/// before it are taken from last to first.
#[derive(Clone, Copy, Debug)]
pub struct Definition<S: 'static> {
    /// Stable name, in capitals.
    pub name: &'static str,
    /// Increase it with every change of the stages: open instances end by the version that they
    /// began with, which must be served as long as there are any.
    pub version: i32,
    /// At least one; every step and compensation occurs once.
    pub stages: &'static [Stage<S>],
}

/// One stage of a saga.
#[derive(Clone, Copy, Debug)]
pub struct Stage<S> {
    step: S,
    compensation: Option<S>,
    local: bool,
    until_deadline: bool,
}

/// The answer to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The step is done, now or by an earlier attempt.
    Done,
    /// Refused, and nothing of it is held: the stages before it are compensated. Also for what
    /// belongs to somebody else: it must not be compensated.
    Refused(Outcome),
    /// It can't be done; but an attempt whose answer was lost may have done it, so it is
    /// compensated too. Without any compensation, and in a compensation, an operator is needed.
    Failed(Outcome),
    /// It is not its turn yet: it is due again after this pause, or when it is woken.
    Wait(Duration),
    /// No answer, for this reason: it is tried again after a growing pause.
    Unanswered(String),
}

/// The end that compensation leads to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Stable name of the end.
    pub end: String,
    /// Stable reason.
    pub reason: String,
}

/// The consequence of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<S> {
    /// This step follows.
    Step(S),
    /// The saga has ended.
    End,
    /// The same step is taken again.
    Again,
    /// An operator is needed.
    Operator,
}

/// The verdict of an answer that settles its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Verdict {
    Done,
    Refused,
    Failed,
    GivenUp,
}

/// The position of a step in its definition: the stage, forward or in compensation.
#[derive(Clone, Copy, Debug)]
enum Position {
    Forward(usize),
    Back(usize),
}

/// Returns true if no retry changes the answer.
pub fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::PermissionDenied
    )
}

// === impl Stage ===

impl<S: Copy> Stage<S> {
    /// A step that is taken by a call, before the transaction that records its answer.
    pub const fn call(step: S) -> Self {
        Self {
            step,
            compensation: None,
            local: false,
            until_deadline: false,
        }
    }

    /// A decision in the service's own database. It shares the transaction of the step before.
    pub const fn local(step: S) -> Self {
        Self {
            local: true,
            ..Self::call(step)
        }
    }

    /// Fails when the deadline of the saga has passed without an answer. Other steps are tried
    /// until they are answered.
    pub const fn until_deadline(self) -> Self {
        Self {
            until_deadline: true,
            ..self
        }
    }

    /// Names the step that undoes this one. It succeeds also if there is nothing to undo, and a
    /// late attempt of the step after it must have no effect.
    pub const fn undone_by(self, compensation: S) -> Self {
        Self {
            compensation: Some(compensation),
            ..self
        }
    }
}

// === impl Definition ===

impl<S: Step> Definition<S> {
    /// Returns the consequence of an answer, for tests of a definition.
    pub fn next(&self, step: S, answer: &Answer) -> Next<S> {
        match answer {
            Answer::Done => self.after(step, Verdict::Done),
            Answer::Refused(_) => self.after(step, Verdict::Refused),
            Answer::Failed(_) => self.after(step, Verdict::Failed),
            Answer::Wait(_) | Answer::Unanswered(_) => Next::Again,
        }
    }

    /// Returns the steps, each compensation after its step.
    pub(crate) fn steps(&self) -> impl Iterator<Item = S> {
        self.stages
            .iter()
            .flat_map(|stage| [Some(stage.step), stage.compensation])
            .flatten()
    }

    pub(crate) fn first(&self) -> Option<S> {
        self.stages.first().map(|stage| stage.step)
    }

    pub(crate) fn has(&self, step: S) -> bool {
        self.position(step).is_some()
    }

    pub(crate) fn is_local(&self, step: S) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.step == step && stage.local)
    }

    pub(crate) fn is_until_deadline(&self, step: S) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.step == step && stage.until_deadline)
    }

    /// Returns the consequence of a settled step.
    pub(crate) fn after(&self, step: S, verdict: Verdict) -> Next<S> {
        match (self.position(step), verdict) {
            (None, _) => Next::Operator,
            (Some(Position::Forward(stage)), Verdict::Done) => self.forward(stage + 1),
            (Some(Position::Forward(stage)), Verdict::Refused) => {
                self.back(stage).map_or(Next::End, Next::Step)
            }
            (Some(Position::Forward(stage)), Verdict::Failed) => {
                self.back(stage + 1).map_or(Next::Operator, Next::Step)
            }
            // What nothing can undo goes on without this step.
            (Some(Position::Forward(stage)), Verdict::GivenUp) => self
                .back(stage + 1)
                .map_or_else(|| self.forward(stage + 1), Next::Step),
            (Some(Position::Back(stage)), Verdict::Done | Verdict::GivenUp) => {
                self.back(stage).map_or(Next::End, Next::Step)
            }
            (Some(Position::Back(_)), Verdict::Refused | Verdict::Failed) => Next::Operator,
        }
    }

    /// Returns true if the verdict begins the compensation.
    pub(crate) fn leads_back(&self, step: S, verdict: Verdict) -> bool {
        match (self.position(step), verdict) {
            (Some(Position::Forward(_)), Verdict::Refused | Verdict::Failed) => true,
            (Some(Position::Forward(stage)), Verdict::GivenUp) => self.back(stage + 1).is_some(),
            _ => false,
        }
    }

    fn forward(&self, stage: usize) -> Next<S> {
        self.stages
            .get(stage)
            .map_or(Next::End, |stage| Next::Step(stage.step))
    }

    /// Returns the last compensation among the first `stages` stages.
    fn back(&self, stages: usize) -> Option<S> {
        self.stages[..stages]
            .iter()
            .rev()
            .find_map(|stage| stage.compensation)
    }

    fn position(&self, step: S) -> Option<Position> {
        self.stages.iter().enumerate().find_map(|(index, stage)| {
            if stage.step == step {
                Some(Position::Forward(index))
            } else if stage.compensation == Some(step) {
                Some(Position::Back(index))
            } else {
                None
            }
        })
    }
}

// === impl Answer ===

impl Answer {
    /// Refuses with a named end: nothing of the step is held.
    pub fn refused(end: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused(Outcome::new(end, reason))
    }

    /// Fails for a stable reason.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(Outcome::failed(reason))
    }
}

impl From<Status> for Answer {
    /// A final status is a failure with its stable reason; any other is no answer.
    fn from(status: Status) -> Self {
        if is_final(&status) {
            let reason = chassis::error::reason(&status);
            Self::failed(reason.unwrap_or_else(|| status.code().to_string()))
        } else {
            Self::Unanswered(status.to_string())
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Creates the outcome of a failure without a name of its own.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(FAILED, reason)
    }

    /// Creates an outcome.
    pub fn new(end: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            end: end.into(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
    enum Trip {
        Flight,
        Hotel,
        Confirm,
        Pay,
        CancelFlight,
        CancelHotel,
    }

    const TRIP: Definition<Trip> = Definition {
        name: "TRIP",
        version: 1,
        stages: &[
            Stage::call(Trip::Flight).undone_by(Trip::CancelFlight),
            Stage::call(Trip::Hotel)
                .until_deadline()
                .undone_by(Trip::CancelHotel),
            Stage::local(Trip::Confirm),
            Stage::call(Trip::Pay),
        ],
    };

    const ONLY_FORWARD: Definition<Trip> = Definition {
        name: "ONLY_FORWARD",
        version: 1,
        stages: &[Stage::call(Trip::Flight), Stage::call(Trip::Hotel)],
    };

    #[test]
    fn a_refusal_undoes_the_stages_before_and_a_failure_its_own_too() {
        use Verdict::{Failed, Refused};
        assert_eq!(TRIP.after(Trip::Flight, Refused), Next::End);
        assert_eq!(
            TRIP.after(Trip::Flight, Failed),
            Next::Step(Trip::CancelFlight)
        );
        assert_eq!(
            TRIP.after(Trip::Hotel, Refused),
            Next::Step(Trip::CancelFlight)
        );
        assert_eq!(
            TRIP.after(Trip::Hotel, Failed),
            Next::Step(Trip::CancelHotel)
        );
        assert_eq!(TRIP.after(Trip::Pay, Failed), Next::Step(Trip::CancelHotel));
    }

    #[test]
    fn what_can_not_be_undone_needs_an_operator_who_may_give_it_up() {
        use Verdict::{Failed, GivenUp};
        assert_eq!(TRIP.after(Trip::CancelHotel, Failed), Next::Operator);
        assert_eq!(
            TRIP.after(Trip::CancelHotel, GivenUp),
            Next::Step(Trip::CancelFlight)
        );
        assert_eq!(ONLY_FORWARD.after(Trip::Flight, Failed), Next::Operator);
        assert_eq!(
            ONLY_FORWARD.after(Trip::Flight, GivenUp),
            Next::Step(Trip::Hotel)
        );
    }

    #[test]
    fn only_answers_that_repeat_are_final() {
        assert!(is_final(&Status::failed_precondition("")));
        for status in [
            Status::unavailable(""),
            Status::deadline_exceeded(""),
            Status::internal(""),
            Status::unknown(""),
            Status::resource_exhausted(""),
        ] {
            assert!(!is_final(&status));
        }
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Done),
            Just(Verdict::Refused),
            Just(Verdict::Failed),
            Just(Verdict::GivenUp),
        ]
    }

    proptest! {
        /// No sequence of answers runs in a circle, and none leaves a done stage behind.
        #[test]
        fn every_way_ends_with_nothing_half_done(verdicts in prop::collection::vec(verdict(), 16)) {
            let mut held: Vec<Trip> = Vec::new();
            let mut step = TRIP.first().unwrap();
            for verdict in verdicts {
                match (step, verdict) {
                    (Trip::Flight | Trip::Hotel, Verdict::Done | Verdict::Failed) => held.push(step),
                    (Trip::CancelFlight, Verdict::Done | Verdict::GivenUp) => held.retain(|held| *held != Trip::Flight),
                    (Trip::CancelHotel, Verdict::Done | Verdict::GivenUp) => held.retain(|held| *held != Trip::Hotel),
                    _ => {}
                }
                match TRIP.after(step, verdict) {
                    Next::Step(next) => step = next,
                    Next::End => {
                        let forward = step == Trip::Pay;
                        prop_assert_eq!(held, if forward { vec![Trip::Flight, Trip::Hotel] } else { vec![] });
                        return Ok(());
                    }
                    Next::Operator | Next::Again => {
                        prop_assert!(matches!(step, Trip::CancelFlight | Trip::CancelHotel));
                    }
                }
            }
        }
    }
}
