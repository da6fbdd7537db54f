//! Types of Anys, learned when a message holds one: no service imports them, so that no round of
//! learning comes across them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use client::Upstream;
use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use transcoder::AnyTypes;

use crate::api::{Learned, Server};
use crate::declarations::{Declarations, set};
use crate::reflection;

/// The longest that a message waits for one type, its turn included.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// A type is learned again after so long: the upstream may have been restarted with another.
const VALID: Duration = Duration::from_secs(300);

/// A type that was not found is not looked for again for so long.
const ABSENT: Duration = Duration::from_secs(30);

/// Types of one upstream. The oldest makes room for the next.
const MAX_TYPES: usize = 128;

/// Descriptors of one type, with its imports.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Descriptors of all types of one upstream.
const MAX_ALL_BYTES: usize = 16 * 1024 * 1024;

/// Names that were not found.
const MAX_ABSENT: usize = 1024;

/// Learns the types of Anys from one upstream: from its descriptor files, else by reflection.
///
/// Lookups take turns, so that callers who name types that do not exist can't make the upstream
/// answer more than one question at a time.
pub struct TypeSource {
    upstream: Upstream,
    process: Option<HeaderValue>,
    declarations: Arc<Declarations>,
    asks: bool,
    types: Arc<AnyTypes>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The types that were added, the oldest first, with the bytes of their descriptors.
    added: VecDeque<(Box<str>, usize)>,
    /// When a type that was not found may be looked for again.
    absent: HashMap<Box<str>, Instant>,
}

// === impl TypeSource ===

impl TypeSource {
    /// Adds types to those of a schema, as the upstream of this API declares them.
    pub fn new(upstream: Upstream, learned: &Learned, types: Arc<AnyTypes>) -> Self {
        Self {
            upstream,
            process: learned.process.clone(),
            declarations: learned.declarations.clone(),
            asks: learned.by_reflection,
            types,
            known: Mutex::default(),
        }
    }

    /// Learns a type by its full name; returns whether it is there now. It takes at most two
    /// seconds.
    pub async fn learn(&self, name: &str) -> bool {
        let end = Instant::now() + LOOKUP_TIME;
        let Ok(mut known) = timeout_at(end, self.known.lock()).await else {
            return false;
        };
        if self.types.contains(name) {
            return true;
        }
        let now = Instant::now();
        if known.absent.get(name).is_some_and(|until| now < *until) {
            return false;
        }
        let Err(reason) = self.find(&mut known, name, end).await else {
            return true;
        };
        // An upstream that is busy must not lose a type by it.
        if self.types.extend(name, (now + ABSENT).into_std()) {
            return true;
        }
        tracing::info!(r#type = name, reason, "type of an Any not found");
        known.absent(name, now);
        false
    }

    async fn find(&self, known: &mut Known, name: &str, end: Instant) -> Result<(), String> {
        let declared = self.declarations.set_of(name, MAX_BYTES);
        let mut reason = "no descriptor file declares it".to_owned();
        if let Some(set) = declared {
            match self.add(known, name, set).await {
                Ok(()) => return Ok(()),
                Err(error) => reason = format!("its descriptor file cannot be used: {error}"),
            }
        }
        if !self.asks {
            return Err(reason);
        }
        let limit = end.saturating_duration_since(Instant::now());
        let server = Server {
            upstream: &self.upstream,
            process: self.process.as_ref(),
        };
        let asked = reflection::find(server, name, limit, MAX_BYTES);
        let asked = rpc::deadline::scope(end, asked);
        let files = timeout_at(end, asked)
            .await
            .unwrap_or_else(|_| Err("reflection did not answer in time".to_owned()))
            .map_err(|refusal| format!("{reason}; {refusal}"))?;
        self.add(known, name, set(files)).await
    }

    /// Counts a type before it is added: a caller that leaves does not stop the compiler.
    async fn add(&self, known: &mut Known, name: &str, set: Vec<u8>) -> Result<(), String> {
        for evicted in known.make_room(name, set.len()) {
            self.types.remove(&evicted);
        }
        let (types, name) = (self.types.clone(), name.to_owned());
        let until = (Instant::now() + VALID).into_std();
        let compile = move || types.add(&name, &set, until);
        let compiled = tokio::task::spawn_blocking(compile).await;
        let compiled = compiled.map_err(|error| error.to_string())?;
        compiled.map_err(|error| error.to_string())
    }
}

// === impl Known ===

impl Known {
    /// Notes a type; returns those that make room for it.
    fn make_room(&mut self, name: &str, bytes: usize) -> Vec<Box<str>> {
        self.added.retain(|(known, _)| **known != *name);
        self.added.push_back((name.into(), bytes));
        let mut total: usize = self.added.iter().map(|(_, bytes)| bytes).sum();
        let mut evicted = Vec::new();
        while (self.added.len() > MAX_TYPES || total > MAX_ALL_BYTES)
            && let Some((name, bytes)) = self.added.pop_front()
        {
            total -= bytes;
            evicted.push(name);
        }
        evicted
    }

    fn absent(&mut self, name: &str, now: Instant) {
        if self.absent.len() >= MAX_ABSENT {
            self.absent.retain(|_, until| now < *until);
        }
        if self.absent.len() >= MAX_ABSENT {
            self.absent.clear();
        }
        self.absent.insert(name.into(), now + ABSENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_types_make_room() {
        let mut known = Known::default();
        for index in 0..MAX_TYPES {
            assert!(known.make_room(&format!("a.M{index}"), 1).is_empty());
        }
        // Learned again, a type is young.
        assert!(known.make_room("a.M0", 1).is_empty());
        assert_eq!(known.make_room("a.New", 1), [Box::from("a.M1")]);
        let evicted = known.make_room("a.Large", MAX_ALL_BYTES - 1);
        assert_eq!(evicted.len(), MAX_TYPES - 1);
        assert_eq!(known.added.len(), 2);
    }

    #[test]
    fn names_that_were_not_found_are_bounded() {
        let (mut known, now) = (Known::default(), Instant::now());
        for index in 0..3 * MAX_ABSENT {
            known.absent(&format!("a.M{index}"), now);
            assert!(known.absent.len() <= MAX_ABSENT);
        }
    }
}
