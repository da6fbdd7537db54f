//! The messages that a consumer holds, per key in version order, and the keys that are due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use async_nats::jetstream::message::Acker;
use facts::envelope::Fact;

use super::batch::Run;

/// The part of the window of which one key holds no more in work, and no more waiting once the
/// window is half full.
const KEYS_PER_WINDOW: usize = 8;

/// The part of a batch that one key may fill while others are due.
const KEYS_PER_BATCH: usize = 4;

/// A message that is not settled yet.
pub(super) struct Delivery {
    pub(super) fact: Arc<Fact>,
    /// None: read from the stream, for a later message of its key.
    pub(super) acker: Option<Acker>,
    /// How often the stream has delivered it.
    pub(super) deliveries: u32,
}

/// The messages of one key: some are being settled, the others wait in version order.
#[derive(Default)]
struct Queue {
    running: Vec<Delivery>,
    waiting: BTreeMap<(i64, u64), Delivery>,
}

/// The messages of one consumer.
pub(super) struct Queues {
    /// Messages that the server delivers before it waits for acknowledgements.
    window: usize,
    by_key: HashMap<String, Queue>,
    /// Keys with waiting messages and none in work, by the time since when.
    due: VecDeque<String>,
}

// === impl Queues ===

impl Queues {
    pub(super) fn new(window: usize) -> Self {
        Self {
            window,
            by_key: HashMap::new(),
            due: VecDeque::new(),
        }
    }

    /// Adds a message. Returns one that is to be acknowledged at once, if its key would fill the
    /// window.
    ///
    /// The newest message of that key, which is kept, brings it back: what is missing before a
    /// message is read from the stream. So a key that is far behind leaves room for the others, and
    /// a crash loses nothing.
    pub(super) fn insert(&mut self, delivery: Delivery) -> Option<Delivery> {
        let key = delivery.fact.key.clone();
        let queue = self.by_key.entry(key.clone()).or_default();
        if queue.is_empty() {
            self.due.push_back(key.clone());
        }
        queue.waiting.insert(delivery.position(), delivery);
        let waiting = queue.waiting.len();
        match waiting > self.share() && self.held() > self.window / 2 {
            true => self.by_key.get_mut(&key)?.skip(),
            false => None,
        }
    }

    /// Returns how many messages wait under keys that are due.
    pub(super) fn due(&self) -> usize {
        let queues = self.due.iter().filter_map(|key| self.by_key.get(key));
        queues.map(|queue| queue.waiting.len()).sum()
    }

    /// Takes at most `limit` messages into work, of the keys that have been due for longest.
    pub(super) fn take(&mut self, limit: usize) -> Vec<Run> {
        let per_key = match self.due.len() {
            1 => limit,
            _ => (limit / KEYS_PER_BATCH).max(1),
        };
        let per_key = per_key.min(self.share());
        let mut runs = Vec::new();
        let mut room = limit;
        while room > 0 {
            let Some(key) = self.due.pop_front() else {
                break;
            };
            let Some(queue) = self.by_key.get_mut(&key) else {
                continue;
            };
            queue.start(room.min(per_key));
            room -= queue.running.len();
            let facts = queue.running.iter().map(|running| running.fact.clone());
            let facts = facts.collect();
            runs.push(Run { key, facts });
        }
        runs
    }

    /// Removes the first `count` messages of `key` from work.
    pub(super) fn settled(&mut self, key: &str, count: usize) -> Vec<Delivery> {
        let Some(queue) = self.by_key.get_mut(key) else {
            return Vec::new();
        };
        let count = count.min(queue.running.len());
        queue.running.drain(..count).collect()
    }

    /// Keeps only the first message of `key` in work and returns its fact and deliveries.
    pub(super) fn single(&mut self, key: &str) -> Option<(Arc<Fact>, u32)> {
        let queue = self.by_key.get_mut(key)?;
        let rest = queue.running.split_off(queue.running.len().min(1));
        queue.wait(rest);
        let first = queue.running.first()?;
        Some((first.fact.clone(), first.deliveries))
    }

    /// Ends the work on `key`: what is still in work waits again.
    pub(super) fn release(&mut self, key: &str) {
        let Some(queue) = self.by_key.get_mut(key) else {
            return;
        };
        let rest = std::mem::take(&mut queue.running);
        queue.wait(rest);
        match queue.is_empty() {
            true => drop(self.by_key.remove(key)),
            false => self.due.push_back(key.to_owned()),
        }
    }

    /// Adds facts of `key` that were read from the stream, for the message in work.
    pub(super) fn precede(&mut self, key: &str, facts: Vec<Fact>) {
        let Some(queue) = self.by_key.get_mut(key) else {
            return;
        };
        let rest = std::mem::take(&mut queue.running);
        queue.wait(rest);
        let deliveries = facts.into_iter().map(|fact| Delivery {
            fact: Arc::new(fact),
            acker: None,
            deliveries: 0,
        });
        queue.wait(deliveries);
    }

    /// Adds facts that were read from the stream again; a message that waits already stays.
    pub(super) fn reread(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            let key = fact.key.clone();
            let queue = self.by_key.entry(key.clone()).or_default();
            if queue.is_empty() {
                self.due.push_back(key);
            }
            queue.wait([Delivery {
                fact: Arc::new(fact),
                acker: None,
                // It does not come again.
                deliveries: u32::MAX,
            }]);
        }
    }

    /// Returns whether facts are in work that the server did not deliver.
    pub(super) fn is_rereading(&self) -> bool {
        self.all().any(|held| held.acker.is_none())
    }

    /// Removes all messages that are not in work.
    pub(super) fn drain(&mut self) -> Vec<Delivery> {
        self.due.clear();
        let queues = self.by_key.values_mut();
        let drained = queues.flat_map(|queue| std::mem::take(&mut queue.waiting).into_values());
        let drained = drained.collect();
        self.by_key.retain(|_, queue| !queue.is_empty());
        drained
    }

    /// Returns all messages.
    pub(super) fn all(&self) -> impl Iterator<Item = &Delivery> {
        let queues = self.by_key.values();
        queues.flat_map(|queue| queue.running.iter().chain(queue.waiting.values()))
    }

    fn share(&self) -> usize {
        (self.window / KEYS_PER_WINDOW).max(1)
    }

    fn held(&self) -> usize {
        self.all().filter(|held| held.acker.is_some()).count()
    }
}

// === impl Queue ===

impl Queue {
    fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    fn start(&mut self, count: usize) {
        while self.running.len() < count {
            let Some((_, next)) = self.waiting.pop_first() else {
                return;
            };
            self.running.push(next);
        }
    }

    /// Adds messages, but for those that wait already.
    fn wait(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        for delivery in deliveries {
            self.waiting.entry(delivery.position()).or_insert(delivery);
        }
    }

    /// Removes the message before the newest, if the newest is also later in the stream.
    fn skip(&mut self) -> Option<Delivery> {
        let mut last = self.waiting.keys().rev();
        let (newest, before) = (last.next()?, *last.next()?);
        match before.1 < newest.1 {
            true => self.waiting.remove(&before),
            false => None,
        }
    }
}

// === impl Delivery ===

impl Delivery {
    fn position(&self) -> (i64, u64) {
        (self.fact.version, self.fact.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::envelope::testing::fact;

    fn delivery(key: &str, version: i64) -> Delivery {
        Delivery {
            fact: Arc::new(fact(key, version, "A")),
            acker: None,
            deliveries: 1,
        }
    }

    fn taken(queues: &mut Queues, limit: usize) -> Vec<(String, Vec<i64>)> {
        let runs = queues.take(limit).into_iter().map(|run| {
            let versions = run.facts.iter().map(|fact| fact.version).collect();
            (run.key, versions)
        });
        runs.collect()
    }

    fn filled(messages: &[(&str, i64)]) -> Queues {
        let mut queues = Queues::new(100);
        for &(key, version) in messages {
            assert!(queues.insert(delivery(key, version)).is_none());
        }
        queues
    }

    #[test]
    fn keys_share_a_batch_and_keep_their_order() {
        let hot = (1..=9).map(|version| ("hot", version));
        let messages: Vec<_> = hot.chain([("b", 2), ("b", 1), ("c", 1)]).collect();
        let mut queues = filled(&messages);
        assert_eq!(queues.due(), 12);
        let seen = taken(&mut queues, 8);
        let expected = [("hot", vec![1, 2]), ("b", vec![1, 2]), ("c", vec![1])];
        assert_eq!(
            seen,
            expected.map(|(key, versions)| (key.to_owned(), versions))
        );
        // A key in work is not due.
        assert!(taken(&mut queues, 8).is_empty());
        assert_eq!(queues.settled("hot", 2).len(), 2);
        queues.release("hot");
        // Alone, it fills the batch.
        assert_eq!(
            taken(&mut queues, 5),
            [("hot".to_owned(), vec![3, 4, 5, 6, 7])]
        );
    }

    #[test]
    fn what_is_not_settled_waits_in_its_place() {
        let mut queues = filled(&[("a", 1), ("a", 2), ("a", 3)]);
        taken(&mut queues, 8);
        assert_eq!(queues.settled("a", 1).len(), 1);
        let (first, _) = queues.single("a").unwrap();
        assert_eq!(first.version, 2);
        assert!(queues.insert(delivery("a", 4)).is_none());
        assert_eq!(queues.due(), 0);
        queues.release("a");
        assert_eq!(taken(&mut queues, 8), [("a".to_owned(), vec![2, 3, 4])]);
    }

    #[test]
    fn keys_without_messages_are_forgotten() {
        let mut queues = filled(&[("a", 1), ("b", 1)]);
        taken(&mut queues, 1);
        queues.settled("a", 1);
        queues.release("a");
        assert_eq!(queues.drain().len(), 1);
        assert!(queues.by_key.is_empty());
    }

    #[test]
    fn facts_from_the_stream_precede_and_replace_nothing() {
        let mut queues = filled(&[("a", 4)]);
        taken(&mut queues, 8);
        let facts = [2, 3, 4].map(|version| fact("a", version, "A"));
        queues.precede("a", facts.to_vec());
        queues.release("a");
        let held: Vec<_> = queues
            .all()
            .map(|held| (held.fact.version, held.deliveries))
            .collect();
        assert_eq!(held, [(2, 0), (3, 0), (4, 1)]);
    }

    #[test]
    fn the_newest_message_of_a_hot_key_stands_for_those_before_it() {
        let mut queue = Queue::default();
        queue.wait((1..=3).map(|version| delivery("a", version)));
        assert_eq!(queue.skip().map(|skipped| skipped.fact.version), Some(2));
        assert_eq!(queue.skip().map(|skipped| skipped.fact.version), Some(1));
        assert!(queue.skip().is_none());
    }
}
