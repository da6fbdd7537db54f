//! Issuers of JSON Web Tokens: whether a token is one of theirs, by the keys that they publish.

mod discovery;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use rpc::config::ConfigError;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::settings::{AuthenticationSettings, IssuerSettings, TokenType, refuse};
use crate::token::{Algorithm, Binding, ClaimPaths, Claims, Expectation, Unverified};
use crate::verified::Verified;

use keys::Keys;

/// An issuer of tokens.
pub(crate) struct Issuer {
    url: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    token_type: TokenType,
    paths: ClaimPaths,
    skew: Duration,
    clock: Clock,
    keys: Arc<Keys>,
}

// === impl Issuer ===

impl Issuer {
    /// # Errors
    /// The key whose file can't be used.
    pub(crate) fn new(
        name: &str,
        settings: &IssuerSettings,
        all: &AuthenticationSettings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, ConfigError> {
        let keys = Keys::new(name, settings, all, clock, metrics);
        let keys = keys.map_err(|problem| refuse(&format!("issuer.{name}.ca"), &problem))?;
        let audiences = match settings.audiences.is_empty() {
            true => all.audiences.clone(),
            false => settings.audiences.clone(),
        };
        Ok(Self {
            url: settings.url.clone(),
            audiences,
            algorithms: settings.algorithms.clone(),
            token_type: settings.token_type,
            paths: settings.claim_paths(),
            skew: all.skew(),
            clock: clock.clone(),
            keys: Arc::new(keys),
        })
    }

    /// Returns whether a token claims to be of this issuer.
    pub(crate) fn issues(&self, token: &Unverified<'_>) -> bool {
        token.issuer() == Some(&self.url)
    }

    /// Verifies a token: what is pinned for the issuer, its signature, and then its claims.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) async fn verify(&self, token: &Unverified<'_>) -> Result<Verified, Rejection> {
        // Before any key is looked for: the algorithm is ours to choose, not the token's.
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Rejection::Algorithm);
        }
        if !self.token_type.accepts(token.kind.as_deref()) {
            return Err(Rejection::Type);
        }
        self.keys.verify(token).await?;
        let claims = Claims(&token.claims);
        let expires = claims.check(&Expectation {
            now: self.clock.now(),
            skew: self.skew,
            audiences: &self.audiences,
        })?;
        Ok(Verified {
            identity: Arc::new(claims.identity(&self.url, &self.paths, Some(expires))?),
            issued: claims.time("iat")?,
            binding: Binding::of(&token.claims)?,
        })
    }

    /// Keeps the keys up to date until `stop`.
    pub(crate) async fn refresh(&self, stop: &CancellationToken) {
        let _ = stop.run_until_cancelled(self.keys.refresh()).await;
    }
}
