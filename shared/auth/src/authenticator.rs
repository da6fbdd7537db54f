//! The authenticator: from the headers of a request to the identity of its caller.

mod presented;

use std::sync::Arc;

use rpc::config::ConfigError;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::settings::AuthenticationSettings;
use crate::token::{Unverified, looks_like_jwt};
use crate::verified::{Digest, Memory, Verified};

pub use presented::Presented;

/// Verifies credentials; clones are the same.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    issuers: Vec<Issuer>,
    memory: Memory,
    clock: Clock,
    metrics: Metrics,
}

// === impl Authenticator ===

impl Authenticator {
    /// Reads files, but asks no issuer yet: [`Authenticator::run`] does.
    ///
    /// # Errors
    /// The key that does not fit.
    pub fn new(
        settings: &AuthenticationSettings,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        settings.validate()?;
        let issuers = settings.issuer.iter();
        let issuers = issuers
            .map(|(name, issuer)| Issuer::new(name, issuer, settings, &clock, &metrics))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            issuers,
            memory: Memory::new(settings.max_cached_bytes),
            clock,
            metrics,
        })))
    }

    /// Keeps keys up to date until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let all = self.0.issuers.iter().map(|issuer| issuer.refresh(&stop));
        futures::future::join_all(all).await;
    }

    /// Returns the caller of a credential that was verified before, which costs a digest and a
    /// look-up; `None` if it has to be verified.
    pub fn recall(&self, presented: &Presented<'_>) -> Option<Result<Arc<Verified>, Rejection>> {
        let Presented::Bearer(token) = presented;
        let digest = Digest::of(token.as_bytes());
        let found = self.0.memory.get(&digest, self.0.clock.now())?;
        self.0.metrics.hit();
        Some(self.checked(found, presented))
    }

    /// Verifies a credential, and remembers it.
    ///
    /// # Errors
    /// The reason for which it proves nothing.
    pub async fn verify(&self, presented: &Presented<'_>) -> Result<Arc<Verified>, Rejection> {
        let verified = self.examine(presented).await;
        let reason = verified.as_ref().err().map(|rejection| rejection.reason());
        self.0.metrics.verified(reason);
        let verified = Arc::new(verified?);
        let Presented::Bearer(token) = presented;
        let digest = Digest::of(token.as_bytes());
        self.0.memory.put(digest, &verified, self.0.clock.now());
        self.checked(verified, presented)
    }

    async fn examine(&self, presented: &Presented<'_>) -> Result<Verified, Rejection> {
        let Presented::Bearer(token) = presented;
        if !looks_like_jwt(token) {
            return Err(Rejection::Malformed);
        }
        let token = Unverified::parse(token)?;
        let issuer = self.0.issuers.iter().find(|issuer| issuer.issues(&token));
        issuer.ok_or(Rejection::Issuer)?.verify(&token).await
    }

    /// Checks what may differ between two requests with the same credential.
    fn checked(
        &self,
        verified: Arc<Verified>,
        _presented: &Presented<'_>,
    ) -> Result<Arc<Verified>, Rejection> {
        if let Some(binding) = verified.binding {
            binding.check(None)?;
        }
        Ok(verified)
    }
}
