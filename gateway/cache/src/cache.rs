//! Questions answered from the cache, or asked once for all who ask at once.

mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use prometheus_client::encoding::DescriptorEncoder;
use rpc::error::Fault;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Status;
use valkey::Valkey;

use crate::answer::{Answer, Entry, Outcome, Served};
use crate::directives::{Directives, directives};
use crate::flights::{Fetched, Flights};
use crate::key::{Key, Question};
use crate::metrics::Figures;
use crate::second::Second;
use crate::store::{Events, Store};
use verdict::{Verdict, helps, is_final, is_of_the_call, is_of_the_caller, not_cached, verdict};

pub use verdict::NOT_CACHED;

/// The bounds of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Memory of all answers, in bytes.
    pub max_bytes: u64,
    /// Largest answer that is kept, in bytes.
    pub max_answer_bytes: usize,
    /// Whether callers may ask past the cache by `cache-control`.
    pub request_directives: bool,
    /// How long a call may take that renews an answer after it was served.
    pub refresh_timeout: Duration,
    /// How many such calls may be in progress; further answers stay as they are.
    pub max_refreshes: usize,
}

/// A cache of answers; clones are the same.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    store: Store,
    second: Option<Second>,
    flights: Flights,
    events: Events,
    refreshes: Arc<Semaphore>,
    figures: Arc<Figures>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_answer_bytes: 1 << 20,
            request_directives: true,
            refresh_timeout: Duration::from_secs(10),
            max_refreshes: 64,
        }
    }
}

// === impl Cache ===

impl Cache {
    /// Creates an empty cache.
    pub fn new(settings: Settings) -> Self {
        Self::over(settings, None)
    }

    /// Creates an empty cache, which shares answers with others by a store.
    pub fn over(settings: Settings, store: Option<Valkey>) -> Self {
        let figures = Arc::new(Figures::default());
        Self {
            inner: Arc::new(Inner {
                store: Store::new(settings.max_bytes, figures.clone()),
                second: store.map(Second::new),
                flights: Flights::default(),
                events: Events::default(),
                refreshes: Arc::new(Semaphore::new(settings.max_refreshes)),
                figures,
                settings,
            }),
        }
    }

    /// Returns the bounds.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Says whether the events of [`contract::Cache::invalidated_by`] are heard from now on. While
    /// they are not, answers that depend on them are neither kept nor served again.
    pub(crate) fn hear(&self, is_heard: bool) {
        self.inner.events.hear(is_heard);
    }

    /// Notes an event by the full name of its message and its key.
    pub(crate) fn happened(&self, event: &str, key: &str) {
        self.inner.events.happened(event, key);
    }

    /// Writes the figures for a scrape.
    ///
    /// # Errors
    /// The encoder's.
    pub fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Inner { figures, store, .. } = &*self.inner;
        figures.write(store.size(), encoder)
    }

    /// Answers a question of a caller who may ask it. `fetch` asks the service, until the given
    /// time; it is called only where no answer is kept, or one must be renewed.
    ///
    /// # Errors
    /// Those of `fetch`, also where another caller's has failed for both; DEADLINE_EXCEEDED of the
    /// caller; UNAVAILABLE `NOT_CACHED` for `only-if-cached`.
    pub async fn serve<F>(
        &self,
        policy: &contract::Cache,
        question: Question<'_>,
        fetch: impl FnOnce(Option<Instant>) -> F,
    ) -> Result<Served, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send + 'static,
    {
        let inner = &self.inner;
        let asked = match inner.settings.request_directives {
            true => directives(question.headers),
            false => Directives::default(),
        };
        if asked.no_store || question.is_unverified(policy) || !inner.events.hears(policy) {
            return match asked.only_if_cached {
                true => Err(not_cached()),
                false => inner.pass(policy, fetch(question.deadline)).await,
            };
        }
        let key = question.key(policy);
        let is_current = |entry: &Arc<Entry>| {
            let events = &inner.events;
            events.are_older(entry.asked, policy, question.event_keys)
        };
        let kept = inner.store.get(&key).filter(is_current);
        if let Some(entry) = &kept {
            match verdict(entry, policy, asked) {
                Verdict::Serve(outcome) => return Ok(inner.served(entry, policy, outcome)),
                Verdict::ServeAndRefresh => {
                    let until = Instant::now() + inner.settings.refresh_timeout;
                    self.refresh(key, policy, || fetch(Some(until)));
                    let outcome = Outcome::Stale("protomesh; hit; detail=revalidating");
                    return Ok(inner.served(entry, policy, outcome));
                }
                Verdict::Ask => {}
            }
        }
        if asked.only_if_cached {
            return Err(not_cached());
        }
        let served = self.ask(key, policy, question.deadline, asked, fetch).await;
        served.or_else(|status| match kept {
            Some(entry) if helps(&entry, policy, &status) => {
                let outcome = Outcome::Stale("protomesh; hit; detail=error");
                Ok(inner.served(&entry, policy, outcome))
            }
            _ => Err(status),
        })
    }

    /// Asks the service, or waits for a call that asks the same already.
    async fn ask<F>(
        &self,
        key: Key,
        policy: &contract::Cache,
        deadline: Option<Instant>,
        asked: Directives,
        fetch: impl FnOnce(Option<Instant>) -> F,
    ) -> Result<Served, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send + 'static,
    {
        let inner = &self.inner;
        let mut fetch = Some(move || fetch(deadline));
        while !asked.no_cache && fetch.is_some() {
            let (flight, leads) = inner.flights.join(key, || {
                let fetched = fetch.take().map(|fetch| fetch());
                let fill = self.inner.clone().find(key, policy.clone(), fetched);
                fill.boxed()
            });
            if leads {
                let fetched = flight.await?;
                return Ok(inner.served(&fetched.entry, policy, fetched.outcome));
            }
            let waited = match deadline {
                Some(deadline) => timeout_at(deadline, flight).await,
                None => Ok(flight.await),
            };
            match waited {
                Err(_) => return Err(Fault::deadline_exceeded().into()),
                Ok(Ok(Fetched {
                    entry,
                    is_kept: true,
                    ..
                })) => {
                    return Ok(inner.served(&entry, policy, Outcome::Coalesced));
                }
                // The other caller had less time, or has left.
                Ok(Err(status)) if is_of_the_caller(&status) => continue,
                Ok(Err(status)) if !is_of_the_call(&status) => return Err(status),
                // Nothing that is meant for this caller, too.
                Ok(_) => break,
            }
        }
        let fetched = fetch.take().map(|fetch| fetch());
        let fetched = inner.clone().fill(key, policy.clone(), fetched).await?;
        Ok(inner.served(&fetched.entry, policy, Outcome::Miss))
    }

    /// Renews an answer in the background, unless that is being done, or too many are.
    fn refresh<F>(&self, key: Key, policy: &contract::Cache, fetch: impl FnOnce() -> F)
    where
        F: Future<Output = Result<Answer, Status>> + Send + 'static,
    {
        let inner = &self.inner;
        if inner.flights.has(&key) {
            return;
        }
        let Ok(permit) = inner.refreshes.clone().try_acquire_owned() else {
            return;
        };
        let (flight, leads) = inner.flights.join(key, || {
            let fill = inner.clone().fill(key, policy.clone(), Some(fetch()));
            fill.boxed()
        });
        if leads {
            let patience = inner.settings.refresh_timeout;
            tokio::spawn(async move {
                let _permit = permit;
                if let Ok(Err(status)) = timeout(patience, flight).await {
                    tracing::debug!(%status, "kept answer could not be renewed");
                }
            });
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.inner.settings;
        formatter.debug_tuple("Cache").field(settings).finish()
    }
}

// === impl Inner ===

impl Inner {
    /// Returns an answer that another cache has shared, else the service's.
    async fn find<F>(
        self: Arc<Self>,
        key: Key,
        policy: contract::Cache,
        fetch: Option<F>,
    ) -> Result<Fetched, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send,
    {
        if let Some(second) = self.second_of(&policy)
            && let Some(entry) = second.get(&key).await
            && entry.fresh_for().is_some()
        {
            let entry = Arc::new(entry);
            self.store.put(key, entry.clone());
            return Ok(Fetched {
                entry,
                is_kept: true,
                outcome: Outcome::Hit,
            });
        }
        self.fill(key, policy, fetch).await
    }

    /// Returns the shared store. Answers that depend on events are not in it: each cache hears of
    /// events by itself, and none of what was before it.
    fn second_of(&self, policy: &contract::Cache) -> Option<&Second> {
        let is_shared = policy.invalidated_by.is_empty();
        self.second.as_ref().filter(|_| is_shared)
    }

    /// Asks the service and keeps the answer. An error that says that there is no answer any more
    /// also ends the kept one.
    async fn fill<F>(
        self: Arc<Self>,
        key: Key,
        policy: contract::Cache,
        fetch: Option<F>,
    ) -> Result<Fetched, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send,
    {
        // The events are waited for before the service is asked, so that none is missed.
        self.events.expect(&policy);
        let asked = Instant::now();
        let Some(fetch) = fetch else {
            return Err(rpc::error::internal(Unasked).into());
        };
        let mut answer = fetch.await.inspect_err(|status| {
            if is_final(status.code()) {
                self.remove(&key, &policy);
            }
        })?;
        let ttl = answer.judge(&policy);
        let is_kept = ttl.is_some();
        let is_small = answer.bytes() <= self.settings.max_answer_bytes;
        let entry = Arc::new(Entry {
            answer,
            asked,
            ttl: ttl.unwrap_or_default(),
        });
        match is_kept && is_small {
            true => {
                self.store.put(key, entry.clone());
                if let Some(second) = self.second_of(&policy) {
                    second.put(&key, &entry, policy.life());
                }
            }
            false => self.remove(&key, &policy),
        }
        Ok(Fetched {
            entry,
            is_kept,
            outcome: Outcome::Miss,
        })
    }

    fn remove(&self, key: &Key, policy: &contract::Cache) {
        self.store.remove(key);
        if let Some(second) = self.second_of(policy) {
            second.remove(key);
        }
    }

    /// Asks the service past the cache.
    async fn pass(
        &self,
        policy: &contract::Cache,
        fetch: impl Future<Output = Result<Answer, Status>>,
    ) -> Result<Served, Status> {
        self.figures.bypassed.add();
        let mut answer = fetch.await?;
        answer.judge(policy);
        let headers = Outcome::Bypassed.headers(None, policy);
        Ok(Served { answer, headers })
    }

    fn served(&self, entry: &Entry, policy: &contract::Cache, outcome: Outcome) -> Served {
        let figures = &self.figures;
        let count = match outcome {
            Outcome::Hit => &figures.hits,
            Outcome::Stale(_) => &figures.stale,
            Outcome::Miss => &figures.misses,
            Outcome::Coalesced => &figures.coalesced,
            Outcome::Bypassed => &figures.bypassed,
        };
        count.add();
        let kept = (!entry.ttl.is_zero()).then_some(entry);
        Served {
            answer: entry.answer.clone(),
            headers: outcome.headers(kept, policy),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a call was asked for twice")]
struct Unasked;

#[cfg(test)]
mod tests;
