//! Opaque tokens: their issuer says what they mean (RFC 7662), once for all who ask at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::Uri;
use http::header::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_cache::sync::Cache;
use rpc::config::ConfigError;
use rpc::lock::lock;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::fetch::{FetchError, Fetcher, Form, Location};
use crate::identity::Credential;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::settings::{AuthenticationSettings, client, named, refuse};
use crate::token::{Binding, ClaimPaths, Claims, Expectation};
use crate::verified::{Digest, Verified};

/// Most requests to the issuer at a time; further ones wait.
const MAX_AT_ONCE: usize = 64;

/// Most tokens whose answer is waited for.
const MAX_PENDING: usize = 4096;

/// Most tokens that are remembered as unknown.
const MAX_REFUSED: usize = 10_000;

/// The name in metrics.
const SOURCE: &str = "introspection";

type Answer = Result<Arc<Verified>, Rejection>;

/// Asks an issuer about tokens.
pub(crate) struct Introspection {
    uri: Uri,
    authorization: HeaderValue,
    issuer: String,
    audiences: Vec<String>,
    paths: ClaimPaths,
    skew: Duration,
    keep: Duration,
    fetcher: Fetcher,
    clock: Clock,
    metrics: Metrics,
    slots: Semaphore,
    pending: Mutex<HashMap<Digest, Shared<BoxFuture<'static, Answer>>>>,
    /// Tokens that are not active, with the time until which they are not asked about again.
    refused: Cache<Digest, SystemTime>,
}

// === impl Introspection ===

impl Introspection {
    /// `None` without an endpoint.
    ///
    /// # Errors
    /// The key that does not fit.
    pub(crate) fn new(
        all: &AuthenticationSettings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Option<Self>, ConfigError> {
        let settings = &all.introspection;
        if settings.url.is_empty() {
            return Ok(None);
        }
        let invalid =
            |key: &str, problem: String| Err(refuse(&format!("introspection.{key}"), &problem));
        let uri = match Location::parse(&settings.url, settings.allow_http) {
            Ok(Location::Url(uri)) => uri,
            Ok(Location::File(_)) => return invalid("url", "expected a URL".to_owned()),
            Err(problem) => return invalid("url", problem),
        };
        let authorization = client(
            "introspection",
            &settings.client_id,
            &settings.client_secret_file,
        )?;
        let fetcher = Fetcher::new(named(&settings.ca), all.fetch_timeout());
        let fetcher = match fetcher {
            Ok(fetcher) => fetcher,
            Err(problem) => return invalid("ca", problem),
        };
        Ok(Some(Self {
            uri,
            authorization,
            issuer: match settings.issuer.is_empty() {
                true => settings.url.clone(),
                false => settings.issuer.clone(),
            },
            audiences: all.audiences.clone(),
            paths: settings.claim_paths(),
            skew: all.skew(),
            keep: Duration::from_millis(settings.cache_ms),
            fetcher,
            clock: clock.clone(),
            metrics: metrics.clone(),
            slots: Semaphore::new(MAX_AT_ONCE),
            pending: Mutex::default(),
            refused: Cache::new(MAX_REFUSED),
        }))
    }

    /// Asks the issuer about a token or key. All who ask about the same one share the answer.
    ///
    /// # Errors
    /// A token that is not active, or an issuer that does not answer.
    pub(crate) async fn examine(
        self: &Arc<Self>,
        token: &str,
        digest: Digest,
        kind: Credential,
    ) -> Answer {
        if let Some(until) = self.refused.get(&digest) {
            if self.clock.now() < until {
                return Err(Rejection::Unknown);
            }
            self.refused.remove(&digest);
        }
        let answer = {
            let mut pending = lock(&self.pending);
            match pending.get(&digest) {
                Some(answer) => answer.clone(),
                None if pending.len() >= MAX_PENDING => return Err(Rejection::Unavailable),
                None => {
                    let answer = self.begin(token.to_owned(), digest, kind);
                    pending.insert(digest, answer.clone());
                    answer
                }
            }
        };
        answer.await
    }

    /// Begins to ask, in a task of its own: the answer comes even if the first who asked has left.
    fn begin(
        self: &Arc<Self>,
        token: String,
        digest: Digest,
        kind: Credential,
    ) -> Shared<BoxFuture<'static, Answer>> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let answer = this.ask(&token, kind).await;
            if answer.as_ref().err() == Some(&Rejection::Unknown) {
                this.refused.insert(digest, this.clock.now() + this.keep);
            }
            lock(&this.pending).remove(&digest);
            answer.map(Arc::new)
        });
        let answer = task.map(|joined| joined.unwrap_or(Err(Rejection::Unavailable)));
        answer.boxed().shared()
    }

    async fn ask(&self, token: &str, kind: Credential) -> Result<Verified, Rejection> {
        let now = self.clock.now();
        let answered = self.post(token).await;
        self.metrics.fetched(SOURCE, answered.is_ok());
        let claims = answered.map_err(|error| {
            tracing::warn!(%error, "introspection failed");
            Rejection::Unavailable
        })?;
        if claims.get("active") != Some(&Value::Bool(true)) {
            return Err(Rejection::Unknown);
        }
        let found = Claims(&claims);
        let expected = Expectation {
            now,
            skew: self.skew,
            audiences: &self.audiences,
        };
        let expires = found.check_introspected(&expected)?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        let mut identity = found.identity(issuer.unwrap_or(&self.issuer), &self.paths, expires)?;
        identity.credential = kind;
        let verified = Verified::new(identity, found.time("iat")?, Binding::of(&claims)?);
        Ok(verified.remembered_until(now + self.keep))
    }

    async fn post(&self, token: &str) -> Result<Map<String, Value>, FetchError> {
        let closed = |_| FetchError::Content("closed".to_owned());
        let _slot = self.slots.acquire().await.map_err(closed)?;
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
        let form = Form {
            body: format!("token={token}&token_type_hint=access_token"),
            authorization: self.authorization.clone(),
        };
        let answer = self.fetcher.post(&self.uri, form).await?;
        let malformed = |error: serde_json::Error| FetchError::Content(error.to_string());
        serde_json::from_slice(&answer).map_err(malformed)
    }
}
