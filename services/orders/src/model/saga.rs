//! The order saga as a table: from a step and the answer to it follows the next step.
//!
//! Forward: reserve → authorize → confirm → capture → ship. A refusal or the deadline turns it round, and what may
//! have happened is taken back: void (or refund, if the money turns out to be taken) → release.

use super::State;

/// A step of the saga; its name is the one in the database.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    /// Hold the pieces.
    Reserve,
    /// Hold the money.
    Authorize,
    /// Decide, in our own database, that the order stands: cancelling is over.
    Confirm,
    /// Take the money.
    Capture,
    /// Take the pieces out of stock.
    Ship,
    /// Compensation of `Capture`.
    Refund,
    /// Compensation of `Authorize`.
    Void,
    /// Compensation of `Reserve`.
    Release,
    /// Nothing: the order is at its end.
    End,
}

/// The answer to a step; its name is the one in the log of the saga.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    /// It happened, now or before.
    Done,
    /// Only of `Reserve` and `Authorize`: refused for this stable reason, and nothing is held.
    Refused(String),
    /// It will not happen, for this stable reason; after a time-out it may have happened all the same.
    Impossible(String),
    /// Only of `Void`: the money was taken after all.
    AlreadyCaptured,
    /// Only of `Confirm`: the caller wants the order given up.
    CancelRequested,
}

/// Where an answer leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The step that follows.
    pub step: Step,
    /// The end that is aimed for from now on, if the answer changes it, and its reason.
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
    /// True for the steps that the deadline ends. Once the money is taken the goods are owed, and compensations must
    /// happen: those are tried until they are answered.
    pub fn has_deadline(self) -> bool {
        matches!(self, Self::Reserve | Self::Authorize | Self::Capture)
    }

    /// True for the steps that take something back.
    pub fn is_compensation(self) -> bool {
        matches!(self, Self::Refund | Self::Void | Self::Release)
    }

    /// What follows from `answer`.
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
    /// The stable reason of a refusal.
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

    /// What the other services would hold after the steps taken so far.
    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct World {
        reserved: bool,
        authorized: bool,
        captured: bool,
        shipped: bool,
    }

    /// Runs the saga against answers drawn by `draw` and returns its end and what is left in the world.
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
            // The answer got lost, and the request with it.
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
        // It happened, and only the answer got lost.
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
