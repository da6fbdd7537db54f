//! The published keys of one issuer: fetched in the background, once more for an unknown key, and
//! kept while the issuer is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::discovery;
use crate::clock::Clock;
use crate::fetch::{FetchError, Fetcher, Location};
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::settings::{AuthenticationSettings, IssuerSettings};
use crate::token::{KeySet, Unverified};

/// Pause after a failed fetch while there are no keys at all.
const RETRY: Duration = Duration::from_secs(1);

/// The keys of one issuer, and where they come from.
pub(super) struct Keys {
    name: String,
    issuer: String,
    /// Where the configuration says that the keys are.
    configured: Option<Location>,
    /// Where the issuer says that they are.
    discovered: ArcSwapOption<Location>,
    allow_http: bool,
    fetcher: Fetcher,
    clock: Clock,
    metrics: Metrics,
    refresh: Duration,
    max_age: Duration,
    pause: Duration,
    current: ArcSwapOption<Fetched>,
    /// Number of fetches so far, failed ones too.
    fetches: AtomicU64,
    /// Held by the one that fetches: the time of the last fetch for an unknown key.
    asked: Arc<Mutex<Option<SystemTime>>>,
}

struct Fetched {
    keys: KeySet,
    at: SystemTime,
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(
        name: &str,
        settings: &IssuerSettings,
        all: &AuthenticationSettings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let configured = match settings.jwks.is_empty() {
            true => None,
            false => Some(Location::parse(&settings.jwks, settings.allow_http)?),
        };
        Ok(Self {
            name: name.to_owned(),
            issuer: settings.url.clone(),
            configured,
            discovered: ArcSwapOption::empty(),
            allow_http: settings.allow_http,
            fetcher: Fetcher::new(settings.ca.as_deref(), all.fetch_timeout())?,
            clock: clock.clone(),
            metrics: metrics.clone(),
            refresh: Duration::from_millis(all.jwks_refresh_ms),
            max_age: Duration::from_millis(all.jwks_max_age_ms),
            pause: Duration::from_millis(all.jwks_pause_ms),
            current: ArcSwapOption::empty(),
            fetches: AtomicU64::new(0),
            asked: Arc::default(),
        })
    }

    /// Checks the signature of a token. A key that is unknown is looked for at the issuer, by one
    /// request for all callers, and not again within the pause.
    ///
    /// # Errors
    /// A wrong signature, an unknown key, or an issuer without usable keys.
    pub(super) async fn verify(self: &Arc<Self>, token: &Unverified<'_>) -> Result<(), Rejection> {
        let before = self.fetches.load(Ordering::Acquire);
        match self.known(token) {
            Err(Rejection::UnknownKey | Rejection::Unavailable) => {}
            decided => return decided,
        }
        let guard = self.asked.clone().lock_owned().await;
        // Somebody has fetched meanwhile, or too short a time ago.
        if self.fetches.load(Ordering::Acquire) == before && self.may_ask(*guard) {
            let this = self.clone();
            // A task of its own: the others wait for it even if this caller leaves.
            let asked = tokio::spawn(async move { this.ask(guard).await });
            let _ = asked.await;
        }
        self.known(token)
    }

    /// Checks the signature by the keys at hand.
    fn known(&self, token: &Unverified<'_>) -> Result<(), Rejection> {
        let current = self.current.load();
        let fetched = current.as_ref().filter(|fetched| self.is_usable(fetched));
        fetched.map_or(Err(Rejection::Unavailable), |fetched| {
            fetched.keys.verify(token)
        })
    }

    fn is_usable(&self, fetched: &Fetched) -> bool {
        let age = self.clock.now().duration_since(fetched.at);
        age.unwrap_or_default() <= self.max_age
    }

    fn may_ask(&self, asked: Option<SystemTime>) -> bool {
        let pause = if self.has_keys() {
            self.pause
        } else {
            self.pause.min(RETRY)
        };
        let since = asked.map(|asked| self.clock.now().duration_since(asked));
        since.is_none_or(|since| since.unwrap_or_default() >= pause)
    }

    async fn ask(&self, mut asked: OwnedMutexGuard<Option<SystemTime>>) {
        let had_keys = self.has_keys();
        *asked = Some(self.clock.now());
        let succeeded = self.fetch().await;
        if succeeded && !had_keys {
            // That was for all tokens; an unknown key may still be asked for.
            *asked = None;
        }
    }

    fn has_keys(&self) -> bool {
        let current = self.current.load();
        current.as_ref().is_some_and(|it| self.is_usable(it))
    }

    /// Fetches now and at intervals, sooner after a failure, for ever.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let mut failures = 0;
        loop {
            let guard = self.asked.clone().lock_owned().await;
            // Somebody may have fetched meanwhile, for an unknown key.
            if let Some(due) = self.due() {
                drop(guard);
                self.clock.wait_until(due).await;
                continue;
            }
            let succeeded = self.fetch().await;
            drop(guard);
            failures = if succeeded { 0 } else { failures + 1 };
            if !succeeded {
                let backoff = RETRY.saturating_mul(1 << u32::min(failures, 6));
                self.clock.wait(backoff.min(self.refresh)).await;
            }
        }
    }

    /// Returns the time of the next fetch, if it has not come.
    fn due(&self) -> Option<SystemTime> {
        let at = self.current.load().as_ref()?.at;
        let due = at.checked_add(self.refresh)?;
        (self.clock.now() < due).then_some(due)
    }

    /// Fetches the keys; the old ones stay if that fails.
    async fn fetch(&self) -> bool {
        let at = self.clock.now();
        let fetched = self.download().await;
        self.metrics.fetched(&self.name, fetched.is_ok());
        match &fetched {
            Ok(keys) => tracing::debug!(issuer = self.name, keys = keys.len(), "keys fetched"),
            Err(error) => {
                let has_keys = self.current.load().is_some();
                tracing::warn!(issuer = self.name, %error, has_keys, "keys not fetched");
            }
        }
        let succeeded = fetched.is_ok();
        if let Ok(keys) = fetched {
            self.current.store(Some(Arc::new(Fetched { keys, at })));
        }
        self.fetches.fetch_add(1, Ordering::AcqRel);
        succeeded
    }

    async fn download(&self) -> Result<KeySet, FetchError> {
        let document = match &self.configured {
            Some(location) => self.fetcher.get(location).await?,
            None => self.discovered_document().await?,
        };
        KeySet::parse(&document).map_err(|error| FetchError::Content(error.to_string()))
    }

    /// Returns the keys from where the issuer has said that they are. It is asked anew if they are
    /// not there.
    async fn discovered_document(&self) -> Result<bytes::Bytes, FetchError> {
        if let Some(location) = self.discovered.load_full() {
            match self.fetcher.get(&location).await {
                Err(FetchError::Status(_)) => {}
                other => return other,
            }
        }
        let found = discovery::discover(&self.fetcher, &self.issuer, self.allow_http).await?;
        self.discovered.store(Some(Arc::new(found.clone())));
        self.fetcher.get(&found).await
    }
}
