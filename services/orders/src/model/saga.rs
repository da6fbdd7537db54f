//! The order saga as a table: a step and its answer give the next step.
//!
//! Forward: reserve → authorize → confirm → capture → ship. A refusal or the deadline starts
//! compensation: void (or refund, if the money was captured after all) → release.

use super::State;

/// A step of the saga; its name is the one in the database.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    /// Reserve the pieces.
    Reserve,
    /// Hold the money.
    Authorize,
    /// Decide, in this service's database, that the order can't be cancelled any more.
    Confirm,
    /// Capture the money.
    Capture,
    /// Take the pieces out of stock.
    Ship,
    /// Compensation of `Capture`.
    Refund,
    /// Compensation of `Authorize`.
    Void,
    /// Compensation of `Reserve`.
    Release,
    /// No step: the order is at its end.
    End,
}

/// The answer to a step; its name is the one in the log of the saga.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    /// The step is done, now or earlier.
    Done,
    /// Only for `Reserve` and `Authorize`: refused for this stable reason; nothing is held.
    Refused(String),
    /// The step can't be done, for this stable reason. After a time-out it may be done
    /// nevertheless.
    Impossible(String),
    /// Only for `Void`: the money is captured.
    AlreadyCaptured,
    /// Only for `Confirm`: the caller asked to cancel the order.
    CancelRequested,
}

/// The consequence of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The step that follows.
    pub step: Step,
    /// The new outcome of the saga, if the answer changes it.
    pub outcome: Option<Outcome>,
}

/// The end of an order that is not paid, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The end.
    pub state: State,
    /// Stable reason.
    pub reason: String,
}

impl Step {
    /// Returns true for the steps that the deadline ends. The others are retried until they are
    /// answered: after the capture the goods are owed, and a compensation must happen.
    pub fn has_deadline(self) -> bool {
        matches!(self, Self::Reserve | Self::Authorize | Self::Capture)
    }

    /// Returns true for the compensations of other steps.
    pub fn is_compensation(self) -> bool {
        matches!(self, Self::Refund | Self::Void | Self::Release)
    }

    /// Returns the next step and the outcome after `answer`.
    pub fn after(self, answer: Answer) -> Transition {
        match (self, answer) {
            (Self::Reserve, Answer::Done) => forward(Self::Authorize),
            (Self::Reserve, Answer::Refused(reason)) => back(Self::End, State::OutOfStock, reason),
            (Self::Reserve, Answer::Impossible(reason)) => {
                back(Self::Release, State::Failed, reason)
            }
            (Self::Authorize, Answer::Done) => forward(Self::Confirm),
            (Self::Authorize, Answer::Refused(reason)) => {
                back(Self::Release, State::PaymentDeclined, reason)
            }
            (Self::Authorize, Answer::Impossible(reason)) => {
                back(Self::Void, State::Failed, reason)
            }
            (Self::Confirm, Answer::CancelRequested) => {
                back(Self::Void, State::Cancelled, "CANCEL_REQUESTED".into())
            }
            (Self::Confirm, _) => forward(Self::Capture),
            (Self::Capture, Answer::Impossible(reason)) => back(Self::Void, State::Failed, reason),
            (Self::Capture, _) => forward(Self::Ship),
            (Self::Ship, Answer::Impossible(reason)) => back(Self::Refund, State::Failed, reason),
            (Self::Void, Answer::AlreadyCaptured) => forward(Self::Refund),
            (Self::Void | Self::Refund, _) => forward(Self::Release),
            (Self::Reserve | Self::Authorize | Self::Ship | Self::Release | Self::End, _) => {
                forward(Self::End)
            }
        }
    }
}

impl Answer {
    /// Returns the stable reason of a refusal.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) | Self::Impossible(reason) => Some(reason),
            Self::Done | Self::AlreadyCaptured | Self::CancelRequested => None,
        }
    }
}

fn forward(step: Step) -> Transition {
    Transition {
        step,
        outcome: None,
    }
}

fn back(step: Step, end: State, reason: String) -> Transition {
    Transition {
        step,
        outcome: Some(Outcome { state: end, reason }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The state of the other services after the steps so far.
    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct World {
        reserved: bool,
        authorized: bool,
        captured: bool,
        shipped: bool,
    }

    /// Runs the saga against answers drawn by `draw`; returns its end and the state of the other
    /// services.
    fn run(mut draw: impl FnMut() -> u8) -> (State, World) {
        let (mut step, mut end, mut world) = (Step::Reserve, State::Paid, World::default());
        for _ in 0..20 {
            if step == Step::End {
                return (end, world);
            }
            let next = step.after(act(step, &mut world, draw()));
            if let Some(outcome) = next.outcome {
                end = outcome.state;
            }
            step = next.step;
        }
        panic!("the saga did not end: {step:?} {world:?}");
    }

    fn act(step: Step, world: &mut World, choice: u8) -> Answer {
        let impossible = || Answer::Impossible("NO".into());
        match (step, choice % 4) {
            (Step::Confirm, 3) => return Answer::CancelRequested,
            (Step::Reserve | Step::Authorize, 2) => return Answer::Refused("NO".into()),
            (Step::Capture | Step::Ship, 2) => return impossible(),
            // The request got lost.
            (Step::Reserve | Step::Authorize | Step::Capture, 3) if choice % 8 == 3 => {
                return impossible();
            }
            _ => {}
        }
        match step {
            Step::Reserve => world.reserved = true,
            Step::Authorize => world.authorized = true,
            Step::Capture => (world.authorized, world.captured) = (false, true),
            Step::Ship => (world.reserved, world.shipped) = (false, true),
            Step::Void if world.captured => return Answer::AlreadyCaptured,
            Step::Void => world.authorized = false,
            Step::Refund => world.captured = false,
            Step::Release => world.reserved = false,
            Step::Confirm | Step::End => {}
        }
        // The step was done, and only the answer got lost.
        if step.has_deadline() && choice % 8 == 7 {
            impossible()
        } else {
            Answer::Done
        }
    }

    #[test]
    fn all_goes_well() {
        let (end, world) = run(|| 0);
        assert_eq!(end, State::Paid);
        assert_eq!(
            world,
            World {
                captured: true,
                shipped: true,
                ..World::default()
            }
        );
    }

    proptest! {
        #[test]
        fn whatever_is_answered_nothing_is_left_half_done(choices in prop::collection::vec(any::<u8>(), 20)) {
            let mut choices = choices.into_iter();
            let (end, world) = run(|| choices.next().unwrap_or(0));
            if end == State::Paid {
                prop_assert_eq!(world, World { captured: true, shipped: true, ..World::default() });
            } else {
                prop_assert_eq!(world, World::default(), "{:?}", end);
            }
        }
    }
}
