//! The stores of answers that serve more than one call, kept from one generation to the next.

use std::time::Duration;

use cache::Cache;
use chassis::Process;
use futures::FutureExt;
use idempotency::Replays;
use serde::Deserialize;
use transcoder::MethodPlan;
use valkey::Valkey;

use crate::api::SelectedAnswers;

/// `[cache]`: answers that are kept and served again.
#[derive(Clone, Debug, Deserialize)]
pub struct CacheSettings {
    /// Memory of all answers, in bytes; 0 for no cache.
    pub max_bytes: u64,
    /// Largest answer that is kept, in bytes.
    pub max_answer_bytes: usize,
    /// Whether callers may ask past the cache by `cache-control`.
    pub request_directives: bool,
    /// How long a call may take that renews an answer after it was served, in milliseconds.
    pub refresh_timeout_ms: u64,
    /// How many such calls may be in progress.
    pub max_refreshes: usize,
    /// Whether answers are shared with other gateways by `[valkey]`.
    pub shared: bool,
    /// The NATS server whose events make answers out of date; empty for none.
    pub nats: String,
}

/// `[idempotency]`: calls that are known by their keys.
#[derive(Clone, Debug, Deserialize)]
pub struct IdempotencySettings {
    /// Largest answer that is kept, in bytes.
    pub max_answer_bytes: usize,
    /// How long the mark of a call in flight outlives its process, in milliseconds.
    pub lease_ms: u64,
    /// How long a call without a deadline runs on when its caller has left, in milliseconds.
    pub abandoned_ms: u64,
}

/// The stores of a process; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) cache: Option<Cache>,
    pub(crate) replays: Option<Replays>,
}

impl Answers {
    /// Makes the stores that are configured, once for the life of the process.
    pub(crate) fn new(
        settings: &CacheSettings,
        idempotency: &IdempotencySettings,
        store: Option<Valkey>,
        process: &Process,
    ) -> Self {
        let cache = (settings.max_bytes > 0).then(|| {
            let shared = store.clone().filter(|_| settings.shared);
            let bounds = cache::Settings {
                max_bytes: settings.max_bytes,
                max_answer_bytes: settings.max_answer_bytes,
                request_directives: settings.request_directives,
                refresh_timeout: Duration::from_millis(settings.refresh_timeout_ms),
                max_refreshes: settings.max_refreshes,
            };
            let cache = Cache::over(bounds, shared);
            let shown = cache.clone();
            process
                .metrics()
                .extend(move |encoder| shown.write(encoder));
            if !settings.nats.is_empty() {
                let (nats, shutdown) = (settings.nats.clone(), process.shutdown());
                let hearing = cache::listen(cache.clone(), nats, shutdown);
                process.spawn("cache", hearing.map(Ok::<(), anyhow::Error>));
            }
            cache
        });
        let replays = store.map(|store| {
            let settings = idempotency::Settings {
                max_answer_bytes: idempotency.max_answer_bytes,
                lease: Duration::from_millis(idempotency.lease_ms),
                abandoned: Duration::from_millis(idempotency.abandoned_ms),
            };
            let replays = Replays::new(store, settings);
            let shown = replays.clone();
            process
                .metrics()
                .extend(move |encoder| shown.write(encoder));
            replays
        });
        Self { cache, replays }
    }

    /// Returns whether an answer of the method may serve another call.
    pub(crate) fn concern(&self, selected: &SelectedAnswers, method: &MethodPlan) -> bool {
        (self.cache.is_some() && selected.cache(method).is_some())
            || (self.replays.is_some() && selected.key(method).is_some())
    }
}
