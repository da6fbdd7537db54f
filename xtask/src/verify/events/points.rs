//! The rows of the matrix: where a process is disturbed, and what brings it there.

use fixture::commands::Verb;

/// A crash point of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) name: &'static str,
    pub(super) side: Role,
    pub(super) way: Way,
}

/// The process that has a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Producer,
    Consumer,
}

/// The way of a process to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It takes the lease, once the process is started anew.
    Start,
    /// Facts are written.
    Write,
    /// One of them is poisonous.
    Poison,
    /// A parked key is replayed.
    Replay,
    /// The stream is rebuilt.
    Rebuild,
}

/// Points that one process visits one after the other: a row of the quick form.
pub(super) const GROUPS: [(&str, &[Point]); 6] = [
    (
        "outbox",
        &[
            Point::new("events.outbox.recorded", Role::Producer, Way::Write),
            Point::new("events.outbox.committed", Role::Producer, Way::Write),
        ],
    ),
    (
        "relay",
        &[
            Point::new("events.relay.lease_taken", Role::Producer, Way::Start),
            Point::new("events.relay.lease_renewed", Role::Producer, Way::Write),
            Point::new("events.relay.before_publish", Role::Producer, Way::Write),
            Point::new("events.relay.staged", Role::Producer, Way::Write),
            Point::new("events.relay.after_publish", Role::Producer, Way::Write),
            Point::new("events.relay.before_record", Role::Producer, Way::Write),
            Point::new("events.relay.after_record", Role::Producer, Way::Write),
        ],
    ),
    (
        "rebuild",
        &[
            Point::new("events.rebuild.requeued", Role::Producer, Way::Rebuild),
            Point::new("events.rebuild.deleted", Role::Producer, Way::Rebuild),
            Point::new("events.rebuild.committed", Role::Producer, Way::Rebuild),
        ],
    ),
    (
        "consumer",
        &[
            Point::new("events.consumer.received", Role::Consumer, Way::Write),
            Point::new("events.consumer.before_begin", Role::Consumer, Way::Write),
            Point::new("events.consumer.before_commit", Role::Consumer, Way::Write),
            Point::new("events.consumer.after_commit", Role::Consumer, Way::Write),
            Point::new("events.consumer.acknowledged", Role::Consumer, Way::Write),
        ],
    ),
    (
        "parking",
        &[
            Point::new("events.consumer.before_park", Role::Consumer, Way::Poison),
            Point::new("events.consumer.after_park", Role::Consumer, Way::Poison),
        ],
    ),
    (
        "replay",
        &[
            Point::new("events.replay.before_commit", Role::Consumer, Way::Replay),
            Point::new("events.replay.after_commit", Role::Consumer, Way::Replay),
        ],
    ),
];

// === impl Point ===

impl Point {
    const fn new(name: &'static str, side: Role, way: Way) -> Self {
        Self { name, side, way }
    }
}

// === impl Way ===

impl Way {
    /// Returns whether facts that can't be applied are needed.
    pub(super) fn is_poisonous(self) -> bool {
        matches!(self, Self::Poison | Self::Replay)
    }

    /// Returns the command after the facts, if there is one; `parked` is a parked key.
    pub(super) fn command(self, parked: Option<&str>) -> Option<Verb> {
        match (self, parked) {
            (Self::Rebuild, _) => Some(Verb::Rebuild),
            (Self::Replay, Some(key)) => Some(Verb::Replay {
                key: key.to_owned(),
            }),
            _ => None,
        }
    }
}
