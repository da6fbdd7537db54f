//! The sagas of the service as tables.

use ::saga::{Definition, Stage};

/// A step of an order's saga; its name is the one in the database.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStep {
    /// Reserve the pieces.
    Reserve,
    /// Hold the money.
    Authorize,
    /// Decide, in this service's database, that the order can't be cancelled any more.
    Confirm,
    /// Capture the money.
    Capture,
    /// Take the pieces out of stock. Only in version 1: now the parcel is shipped by events.
    Ship,
    /// Compensation of `Capture`: pay back what was captured.
    Refund,
    /// Compensation of `Authorize`: void the hold, or pay back what a late capture took.
    Void,
    /// Compensation of `Reserve`.
    Release,
}

/// A step of a return's saga; its name is the one in the database.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ReturnStep {
    /// Decide the rows.
    Allocate,
    /// Put the accepted goods back into stock.
    Restock,
    /// Pay the accepted rows back.
    Refund,
}

/// The saga of an order. Its id is the order's, its key the account.
///
/// The deadline ends it before the money is captured. After the capture the goods are owed: the
/// order is paid, and `shipping` goes on by events.
pub const ORDER: Definition<OrderStep> = Definition {
    name: "ORDER",
    version: 2,
    stages: &[
        Stage::call(OrderStep::Reserve)
            .until_deadline()
            .undone_by(OrderStep::Release),
        Stage::call(OrderStep::Authorize)
            .until_deadline()
            .undone_by(OrderStep::Void),
        Stage::local(OrderStep::Confirm),
        Stage::call(OrderStep::Capture)
            .until_deadline()
            .undone_by(OrderStep::Refund),
    ],
};

/// The saga of orders that were placed before parcels were shipped by events.
pub const ORDER_1: Definition<OrderStep> = Definition {
    name: "ORDER",
    version: 1,
    stages: &[
        Stage::call(OrderStep::Reserve)
            .until_deadline()
            .undone_by(OrderStep::Release),
        Stage::call(OrderStep::Authorize)
            .until_deadline()
            .undone_by(OrderStep::Void),
        Stage::local(OrderStep::Confirm),
        Stage::call(OrderStep::Capture)
            .until_deadline()
            .undone_by(OrderStep::Refund),
        Stage::call(OrderStep::Ship),
    ],
};

/// The saga of a return. Its id is the return's, its key the account.
///
/// Nothing is compensated: once decided, a return only goes forward.
pub const RETURN: Definition<ReturnStep> = Definition {
    name: "RETURN",
    version: 1,
    stages: &[
        Stage::local(ReturnStep::Allocate),
        Stage::call(ReturnStep::Restock),
        Stage::call(ReturnStep::Refund),
    ],
};

#[cfg(test)]
mod tests {
    use ::saga::{Answer, Next};
    use proptest::prelude::*;

    use super::{OrderStep as Step, *};

    /// The state of the other services after the steps so far.
    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct World {
        reserved: bool,
        authorized: bool,
        captured: bool,
        shipped: bool,
    }

    /// Paid, and the goods are reserved for the parcel.
    const PAID: World = World {
        reserved: true,
        authorized: false,
        captured: true,
        shipped: false,
    };

    /// Paid and shipped by the saga itself.
    const PAID_1: World = World {
        reserved: false,
        shipped: true,
        ..PAID
    };

    /// Runs the saga against answers drawn by `draw`; returns whether it went back, and the state
    /// of the other services.
    fn run(saga: &Definition<OrderStep>, mut draw: impl FnMut() -> u8) -> (bool, World) {
        let (mut step, mut back, mut world) = (Step::Reserve, false, World::default());
        for _ in 0..20 {
            let answer = act(step, &mut world, draw());
            back |= answer != Answer::Done;
            match saga.next(step, &answer) {
                Next::Step(next) => step = next,
                Next::End => return (back, world),
                other => panic!("{step:?} was answered {answer:?}: {other:?}"),
            }
        }
        panic!("the saga did not end: {step:?} {world:?}");
    }

    fn act(step: Step, world: &mut World, choice: u8) -> Answer {
        let impossible = || Answer::failed("NO");
        match (step, choice % 4) {
            (Step::Confirm, 3) => return Answer::refused("CANCELLED", "CANCEL_REQUESTED"),
            (Step::Reserve | Step::Authorize, 2) => return Answer::refused("REFUSED", "NO"),
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
            Step::Void => (world.authorized, world.captured) = (false, false),
            Step::Refund => world.captured = false,
            Step::Release => world.reserved = false,
            Step::Confirm => {}
        }
        // The step was done, and only the answer got lost.
        let is_timed = matches!(step, Step::Reserve | Step::Authorize | Step::Capture);
        if is_timed && choice % 8 == 7 {
            impossible()
        } else {
            Answer::Done
        }
    }

    #[test]
    fn all_goes_well() {
        assert_eq!(run(&ORDER, || 0), (false, PAID));
        assert_eq!(run(&ORDER_1, || 0), (false, PAID_1));
    }

    proptest! {
        #[test]
        fn whatever_is_answered_nothing_is_left_half_done(choices in prop::collection::vec(any::<u8>(), 20)) {
            for (saga, paid) in [(&ORDER, PAID), (&ORDER_1, PAID_1)] {
                let mut choices = choices.iter();
                let (back, world) = run(saga, || choices.next().copied().unwrap_or(0));
                prop_assert_eq!(world, if back { World::default() } else { paid });
            }
        }
    }
}
