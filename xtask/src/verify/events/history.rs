//! The history of the facts of one cell, and what is wrong with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// A fact as a row of producer or consumer, or as a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) fact: String,
}

/// Facts that were committed, published and applied; each in its own order.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) written: Vec<Entry>,
    pub(super) stored: Vec<Entry>,
    pub(super) applied: Vec<Entry>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Committed, and not in the stream.
    Unpublished(Entry),
    /// Committed, and without effect.
    Lost(Entry),
    /// In the stream more than once.
    StoredTwice(Entry),
    /// Applied more than once.
    Doubled(Entry),
    /// The first fact of a key that is published or applied in another order than committed.
    OutOfOrder(&'static str, Entry),
    /// Published or applied, and never committed.
    Invented(&'static str, Entry),
}

// === impl Problem ===

impl Problem {
    /// Returns whether time may mend it.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unpublished(_) | Self::Lost(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, entry) = match self {
            Self::Unpublished(entry) => ("not in the stream".to_owned(), entry),
            Self::Lost(entry) => ("lost without an alarm".to_owned(), entry),
            Self::StoredTwice(entry) => ("twice in the stream".to_owned(), entry),
            Self::Doubled(entry) => ("applied twice".to_owned(), entry),
            Self::OutOfOrder(place, entry) => (format!("{place} out of order"), entry),
            Self::Invented(place, entry) => (format!("{place}, but never committed"), entry),
        };
        write!(out, "{what}: fact {} of {}", entry.fact, entry.key)
    }
}

// === impl History ===

impl History {
    /// Returns what is wrong. After a restore of the producer's database (`forgets`), facts may be
    /// published that it no longer knows.
    pub(super) fn problems(&self, forgets: bool) -> Vec<Problem> {
        let mut problems = self.compare("published", &self.stored, forgets);
        problems.extend(self.compare("applied", &self.applied, forgets));
        problems
    }

    fn compare(&self, place: &'static str, seen: &[Entry], forgets: bool) -> Vec<Problem> {
        let is_stream = place == "published";
        let mut problems = Vec::new();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for entry in seen {
            let count = counts.entry(entry.fact.as_str()).or_default();
            *count += 1;
            if *count == 2 {
                problems.push(match is_stream {
                    true => Problem::StoredTwice(entry.clone()),
                    false => Problem::Doubled(entry.clone()),
                });
            }
        }
        let known: HashSet<&str> = facts(&self.written).collect();
        if !forgets {
            let invented = seen
                .iter()
                .filter(|entry| !known.contains(entry.fact.as_str()));
            problems.extend(invented.map(|entry| Problem::Invented(place, entry.clone())));
        }
        let missing = self
            .written
            .iter()
            .filter(|entry| !counts.contains_key(entry.fact.as_str()));
        problems.extend(missing.map(|entry| match is_stream {
            true => Problem::Unpublished(entry.clone()),
            false => Problem::Lost(entry.clone()),
        }));
        problems.extend(self.disorder(place, seen));
        problems
    }

    /// Returns the first fact of each key that came before one that was committed earlier.
    fn disorder(&self, place: &'static str, seen: &[Entry]) -> Vec<Problem> {
        let ranks: HashMap<&str, usize> = facts(&self.written)
            .enumerate()
            .map(|(rank, fact)| (fact, rank))
            .collect();
        let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for entry in seen {
            let Some(&rank) = ranks.get(entry.fact.as_str()) else {
                continue;
            };
            let newest = latest.entry(&entry.key).or_default();
            // A repeat of the same fact is reported as such.
            if rank < *newest {
                found.entry(&entry.key).or_insert(entry);
            }
            *newest = rank.max(*newest);
        }
        let first = found.into_values();
        first
            .map(|entry| Problem::OutOfOrder(place, entry.clone()))
            .collect()
    }
}

fn facts(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| entry.fact.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(facts: &[&str]) -> Vec<Entry> {
        let entry = |fact: &&str| Entry {
            key: fact[..1].to_owned(),
            fact: (*fact).to_owned(),
        };
        facts.iter().map(entry).collect()
    }

    fn history(stored: &[&str], applied: &[&str]) -> History {
        History {
            written: entries(&["a1", "a2", "b1", "a3"]),
            stored: entries(stored),
            applied: entries(applied),
        }
    }

    fn entry(fact: &str) -> Entry {
        entries(&[fact]).remove(0)
    }

    const ALL: [&str; 4] = ["a1", "b1", "a2", "a3"];

    #[test]
    fn keys_may_overtake_each_other() {
        assert_eq!(history(&ALL, &["b1", "a1", "a2", "a3"]).problems(false), []);
    }

    #[test]
    fn lost_facts_are_found() {
        let found = history(&["a1", "a2", "b1"], &["a1", "a2"]).problems(false);
        let expected = [
            Problem::Unpublished(entry("a3")),
            Problem::Lost(entry("b1")),
            Problem::Lost(entry("a3")),
        ];
        assert_eq!(found, expected);
        assert!(found.iter().all(Problem::may_pass));
    }

    #[test]
    fn doubled_facts_are_found() {
        let twice = ["a1", "b1", "a2", "a2", "a3"];
        assert_eq!(
            history(&ALL, &twice).problems(false),
            [Problem::Doubled(entry("a2"))]
        );
        assert_eq!(
            history(&twice, &ALL).problems(false),
            [Problem::StoredTwice(entry("a2"))]
        );
        let late = history(&ALL, &["a1", "b1", "a2", "a3", "a1"]).problems(false);
        let expected = [
            Problem::Doubled(entry("a1")),
            Problem::OutOfOrder("applied", entry("a1")),
        ];
        assert_eq!(late, expected);
    }

    #[test]
    fn disorder_is_found_once_per_key() {
        let found = history(&ALL, &["a3", "a2", "b1", "a1"]).problems(false);
        assert_eq!(found, [Problem::OutOfOrder("applied", entry("a2"))]);
        assert!(!found[0].may_pass());
    }

    #[test]
    fn invented_facts_are_found_unless_the_producer_forgets() {
        let history = history(&["a1", "b1", "a2", "a3", "a9"], &ALL);
        let expected = [Problem::Invented("published", entry("a9"))];
        assert_eq!(history.problems(false), expected);
        assert_eq!(history.problems(true), []);
    }
}
