//! The kept answers, bounded by their bytes, and the events that make them out of date.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use rpc::lock::lock;
use tokio::time::Instant;

use crate::answer::Entry;
use crate::key::Key;
use crate::metrics::Figures;

/// Events by kind and key that are remembered one by one. Beyond, all answers that depend on events
/// are out of date.
const MAX_EVENTS: usize = 65_536;

/// Bytes that an answer takes on average, by which the store is laid out.
const AVERAGE_BYTES: u64 = 1024;

/// The answers in memory. Those least used are dropped for new ones.
#[derive(Debug)]
pub(crate) struct Store {
    kept: Cache<Key, Arc<Entry>, Bytes, DefaultHashBuilder, Evictions>,
}

/// The weight of an answer is its memory.
#[derive(Clone, Debug)]
struct Bytes;

#[derive(Clone, Debug)]
struct Evictions(Arc<Figures>);

/// When events made answers out of date.
#[derive(Debug, Default)]
pub(crate) struct Events {
    is_heard: AtomicBool,
    table: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Kinds of events that the cache depends on.
    kinds: HashSet<String>,
    /// By kind and key; of a kind as a whole, the key is empty, which none of an event is.
    last: HashMap<(String, String), Instant>,
    /// Answers from before are out of date, if they depend on any event.
    floor: Option<Instant>,
}

impl Store {
    pub(crate) fn new(max_bytes: u64, figures: Arc<Figures>) -> Self {
        let items = usize::try_from(max_bytes / AVERAGE_BYTES).unwrap_or(usize::MAX);
        // Few parts, so that a large answer fits into its part.
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(items.max(1))
            .shards(4)
            .build();
        let evictions = Evictions(figures);
        let kept = match options {
            Ok(options) => {
                Cache::with_options(options, Bytes, DefaultHashBuilder::default(), evictions)
            }
            Err(_) => Cache::with(
                items.max(1),
                max_bytes,
                Bytes,
                DefaultHashBuilder::default(),
                evictions,
            ),
        };
        Self { kept }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.kept.get(key)
    }

    pub(crate) fn put(&self, key: Key, entry: Arc<Entry>) {
        self.kept.insert(key, entry);
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.kept.remove(key);
    }

    /// Returns the bytes and the number of kept answers.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.kept.weight(), self.kept.len() as u64)
    }
}

impl Weighter<Key, Arc<Entry>> for Bytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.answer.bytes() as u64
    }
}

impl Lifecycle<Key, Arc<Entry>> for Evictions {
    type RequestState = ();

    fn begin_request(&self) {}

    fn on_evict(&self, (): &mut (), _: Key, _: Arc<Entry>) {
        self.0.evicted.add();
    }
}

impl Events {
    /// Says whether events are heard from now on. Some may have passed unheard before.
    pub(crate) fn hear(&self, is_heard: bool) {
        let mut table = lock(&self.table);
        table.last.clear();
        table.floor = Some(Instant::now());
        self.is_heard.store(is_heard, Ordering::Release);
    }

    /// Returns whether answers with this policy can be kept.
    pub(crate) fn hears(&self, policy: &contract::Cache) -> bool {
        policy.invalidated_by.is_empty() || self.is_heard.load(Ordering::Acquire)
    }

    /// Notes an event. Those that no method waits for are ignored.
    pub(crate) fn happened(&self, kind: &str, key: &str) {
        let mut table = lock(&self.table);
        if !table.kinds.contains(kind) {
            return;
        }
        let now = Instant::now();
        if table.last.len() + 2 > MAX_EVENTS {
            table.last.clear();
            table.floor = Some(now);
        }
        for key in ["", key] {
            table.last.insert((kind.to_owned(), key.to_owned()), now);
        }
    }

    /// Returns whether no event has made the answer out of date since it was asked for. A kind that
    /// no policy named before is waited for from now on.
    pub(crate) fn are_older(
        &self,
        asked: Instant,
        policy: &contract::Cache,
        keys: &[String],
    ) -> bool {
        if policy.invalidated_by.is_empty() {
            return true;
        }
        let table = lock(&self.table);
        let is_before = |time: &Instant| *time < asked;
        let mut waits = policy.invalidated_by.iter().enumerate();
        table.floor.as_ref().is_none_or(is_before)
            && waits.all(|(index, wait)| {
                let key = match wait.field {
                    Some(_) => keys.get(index).cloned().unwrap_or_default(),
                    None => String::new(),
                };
                let last = table.last.get(&(wait.event.clone(), key));
                table.kinds.contains(&wait.event) && last.is_none_or(is_before)
            })
    }

    /// Waits for the events of a policy from now on.
    pub(crate) fn expect(&self, policy: &contract::Cache) {
        if policy.invalidated_by.is_empty() {
            return;
        }
        let mut table = lock(&self.table);
        for wait in &policy.invalidated_by {
            if !table.kinds.contains(&wait.event) {
                table.kinds.insert(wait.event.clone());
            }
        }
    }
}
