//! Aggregates: a state that follows from events.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Place, Problem};
use crate::event::{Event, Stored};

/// The state of a kind of aggregate, and how events make it.
pub trait Aggregate: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its events.
    type Event: Event;

    /// Name of the kind in the database; never changes.
    const NAME: &'static str;
    /// Version of the state's serialized form and meaning: raised with every change of either,
    /// which discards the snapshots of the old one.
    const STATE_VERSION: i32;
    /// Events after which a snapshot is taken: a load reads no more than that many.
    const SNAPSHOT_EVERY: i64 = 100;

    /// Returns the state after an event; `None` if the event can't follow.
    fn apply(state: Option<Self>, id: &str, event: &Self::Event) -> Option<Self>;
}

/// An aggregate as it was loaded, and the events that were decided on since.
#[derive(Clone, Debug)]
pub struct Root<A: Aggregate> {
    id: String,
    state: Option<A>,
    /// The stored version.
    version: i64,
    /// Version of the snapshot that it was loaded from; 0 without one.
    snapshot: i64,
    pending: Vec<A::Event>,
}

// === impl Root ===

impl<A: Aggregate> Root<A> {
    /// Creates an aggregate without events.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            state: None,
            version: 0,
            snapshot: 0,
            pending: Vec::new(),
        }
    }

    /// The aggregate's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The state after all events, the new ones included; `None` before the first.
    pub fn state(&self) -> Option<&A> {
        self.state.as_ref()
    }

    /// Number of stored events: the version that an append expects.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The new events, which are not stored yet.
    pub fn pending(&self) -> &[A::Event] {
        &self.pending
    }

    /// Applies a new event, to be stored by [`append`](crate::append).
    ///
    /// # Errors
    /// [`Error::Impossible`] if it can't follow; the aggregate is unchanged.
    pub fn record(&mut self, event: A::Event) -> Result<(), Error> {
        let state = A::apply(self.state.clone(), &self.id, &event);
        self.state = Some(state.ok_or_else(|| Error::Impossible {
            aggregate: A::NAME,
            id: self.id.clone(),
            version: self.version + self.pending.len() as i64,
        })?);
        self.pending.push(event);
        Ok(())
    }

    /// Applies a stored event.
    pub(crate) fn replay(&mut self, stored: &Stored) -> Result<(), Error> {
        let event = stored.decode()?;
        let follows = stored.version == self.version + 1;
        let state = follows
            .then(|| A::apply(self.state.take(), &self.id, &event))
            .flatten();
        self.state = Some(state.ok_or_else(|| Error::Unreadable {
            place: stored.place(),
            problem: Problem::Impossible,
        })?);
        self.version = stored.version;
        Ok(())
    }

    /// Starts from a snapshot.
    pub(crate) fn restore(&mut self, version: i64, state: &str) -> Result<(), Error> {
        let state = serde_json::from_str(state).map_err(|error| Error::Unreadable {
            place: Place {
                aggregate: A::NAME.to_owned(),
                id: self.id.clone(),
                version,
                r#type: "SNAPSHOT".to_owned(),
            },
            problem: Problem::Payload(error),
        })?;
        self.state = Some(state);
        (self.version, self.snapshot) = (version, version);
        Ok(())
    }

    /// Marks the new events as stored; returns true if a snapshot is due.
    pub(crate) fn stored(&mut self) -> bool {
        self.version += self.pending.len() as i64;
        self.pending.clear();
        let is_due = self.version - self.snapshot >= A::SNAPSHOT_EVERY;
        if is_due {
            self.snapshot = self.version;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::event::encode;
    use crate::event::tests::{Counted, stored};

    /// A sum that never falls below zero.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Counter {
        sum: i64,
    }

    impl Aggregate for Counter {
        type Event = Counted;

        const NAME: &'static str = "counter";
        const STATE_VERSION: i32 = 1;
        const SNAPSHOT_EVERY: i64 = 4;

        fn apply(state: Option<Self>, _: &str, event: &Counted) -> Option<Self> {
            let before = state.map_or(0, |state| state.sum);
            let sum = match event {
                Counted::Added { count, .. } => before.checked_add(*count)?,
                Counted::Cleared | Counted::Forgotten => 0,
            };
            (sum >= 0).then_some(Self { sum })
        }
    }

    fn added(count: i64) -> Counted {
        Counted::Added {
            count,
            note: String::new(),
        }
    }

    fn nth(version: i64, event: &Counted) -> Stored {
        let encoded = encode(event).unwrap();
        Stored {
            version,
            ..stored(encoded.r#type, encoded.schema, &encoded.payload)
        }
    }

    #[test]
    fn an_event_that_can_not_follow_changes_nothing() {
        let mut root = Root::<Counter>::new("c");
        root.record(added(5)).unwrap();
        let refused = root.record(added(-6)).unwrap_err();
        assert!(matches!(
            refused,
            Error::Impossible {
                aggregate: "counter",
                version: 1,
                ..
            }
        ));
        assert_eq!(root.state(), Some(&Counter { sum: 5 }));
        assert_eq!(root.pending(), [added(5)]);
    }

    #[test]
    fn a_history_with_a_gap_is_not_replayed() {
        let mut root = Root::<Counter>::new("c");
        root.replay(&nth(1, &added(1))).unwrap();
        let gap = root.clone().replay(&nth(3, &added(1))).unwrap_err();
        assert!(matches!(
            gap,
            Error::Unreadable {
                problem: Problem::Impossible,
                ..
            }
        ));
        root.replay(&nth(2, &added(1))).unwrap();
        assert_eq!(
            (root.version(), root.state()),
            (2, Some(&Counter { sum: 2 }))
        );
    }

    #[test]
    fn an_unreadable_snapshot_is_named() {
        let error = Root::<Counter>::new("c").restore(9, "[]").unwrap_err();
        assert_eq!(
            error.to_string(),
            "SNAPSHOT of counter \"c\", version 9: malformed payload"
        );
    }

    proptest! {
        /// Whatever was recorded in whichever portions, a replay finds the same state, from the
        /// first event as from a snapshot; and no more than `SNAPSHOT_EVERY` events follow one.
        #[test]
        fn a_replay_finds_the_recorded_state(
            portions in prop::collection::vec(prop::collection::vec(-3..9i64, 0..4), 0..20),
        ) {
            let mut root = Root::<Counter>::new("c");
            let (mut history, mut snapshot) = (Vec::new(), None);
            for portion in portions {
                for count in portion {
                    if root.record(added(count)).is_err() {
                        root.record(Counted::Cleared).unwrap();
                    }
                }
                let first = root.version() + 1;
                history.extend(root.pending().iter().zip(first..).map(|(event, version)| nth(version, event)));
                let before = root.version() - root.snapshot;
                prop_assert!(before < Counter::SNAPSHOT_EVERY);
                if root.stored() {
                    snapshot = Some((root.version(), serde_json::to_string(&root.state()).unwrap()));
                }
            }
            let mut whole = Root::<Counter>::new("c");
            for event in &history {
                whole.replay(event).unwrap();
            }
            prop_assert_eq!((whole.state(), whole.version()), (root.state(), root.version()));
            if let Some((version, state)) = snapshot {
                let mut short = Root::<Counter>::new("c");
                short.restore(version, &state).unwrap();
                for event in history.iter().filter(|event| event.version > version) {
                    short.replay(event).unwrap();
                }
                prop_assert_eq!((short.state(), short.version()), (root.state(), root.version()));
            }
        }
    }
}
