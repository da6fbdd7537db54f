//! The authenticator: from the headers of a request to the identity of its caller.

mod lease;
mod presented;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use rpc::config::ConfigError;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::credentials::{ApiKeys, Certificate, Certificates, Introspection};
use crate::fetch::{Fetcher, Location};
use crate::identity::Credential;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::settings::{AuthenticationSettings, client, named, refuse};
use crate::token::{Unverified, looks_like_jwt};
use crate::verified::{Digest, Memory, Revocation, RevocationError, Revocations, Verified};

pub use lease::Lease;
pub use presented::Presented;

/// The list of revocations in metrics.
const REVOCATIONS: &str = "revocations";

/// Verifies credentials; clones are the same.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    issuers: Vec<Issuer>,
    introspection: Option<Arc<Introspection>>,
    /// The header of API keys, if there may be any.
    key_header: Option<HeaderName>,
    keys: ApiKeys,
    certificates: Certificates,
    revocations: Revocations,
    list: Option<RevocationSource>,
    memory: Memory,
    grace: Duration,
    clock: Clock,
    metrics: Metrics,
}

/// Where the list of revocations is, who asks for it, and how often.
struct RevocationSource {
    location: Location,
    authorization: Option<HeaderValue>,
    fetcher: Fetcher,
    interval: Duration,
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
        let introspection = Introspection::new(settings, &clock, &metrics)?;
        Ok(Self(Arc::new(Inner {
            issuers,
            introspection: introspection.map(Arc::new),
            key_header: match settings.has_keys() {
                true => Some(settings.key_header()?),
                false => None,
            },
            keys: ApiKeys::new(settings, &clock)?,
            certificates: Certificates::new(&settings.certificates),
            revocations: Revocations::default(),
            list: list(settings)?,
            memory: Memory::new(settings.max_cached_bytes),
            grace: Duration::from_millis(settings.stream_grace_ms),
            clock,
            metrics,
        })))
    }

    /// Takes over the revocations of the authenticator before this one.
    pub fn inherit(&self, before: &Self) {
        self.0.revocations.inherit(&before.0.revocations);
    }

    /// Keeps keys and revocations up to date until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let inner = &*self.0;
        let issuers = inner.issuers.iter().map(|issuer| issuer.refresh(&stop));
        let others = async {
            tokio::join!(inner.keys.follow(), inner.follow_revocations());
        };
        let others = stop.run_until_cancelled(others);
        tokio::join!(futures::future::join_all(issuers), others);
    }

    /// Finds the credential of a request: its bearer token, its API key, else the certificate of
    /// its connection, if that alone is a credential. `None` if it has none.
    ///
    /// # Errors
    /// More than one credential in headers, or one that is not understood.
    pub fn presented<'r>(
        &self,
        headers: &'r HeaderMap,
        certificate: Option<Certificate<'r>>,
    ) -> Result<Option<Presented<'r>>, Rejection> {
        let inner = &*self.0;
        let found = Presented::of(headers, inner.key_header.as_ref(), certificate)?;
        let is_accepted = |presented: &Presented<'_>| {
            presented.kind != Credential::Certificate || inner.certificates.is_on()
        };
        Ok(found.filter(is_accepted))
    }

    /// Revokes a credential, or all credentials of a caller. Requests are refused at once, streams
    /// end.
    ///
    /// # Errors
    /// A revocation of nothing, or no room for it.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        self.0.revocations.add(revocation, self.0.clock.now())
    }

    /// Returns the caller of a credential that was verified before, which costs a digest and a
    /// look-up; `None` if it has to be verified.
    pub fn recall(&self, presented: &Presented<'_>) -> Option<Result<Arc<Verified>, Rejection>> {
        let inner = &*self.0;
        let Presented { text, digest, .. } = presented;
        let found = match inner.memory.get(digest, inner.clock.now()) {
            Some(found) => found,
            // Keys are all in memory.
            None => match inner.keys.find(text, digest)? {
                Ok(found) => found,
                Err(rejection) => return Some(Err(rejection)),
            },
        };
        inner.metrics.hit();
        Some(inner.checked(found, presented))
    }

    /// Verifies a credential, and remembers it.
    ///
    /// # Errors
    /// The reason for which it proves nothing.
    pub async fn verify(&self, presented: &Presented<'_>) -> Result<Arc<Verified>, Rejection> {
        let inner = &*self.0;
        let verified = match inner.examine(presented).await {
            Ok(verified) => inner.checked(verified, presented),
            rejected => rejected,
        };
        let reason = verified.as_ref().err().map(|rejection| rejection.reason());
        inner.metrics.verified(reason);
        verified
    }

    /// Returns the right of a stream to go on with a credential that was verified.
    pub fn lease(&self, verified: &Arc<Verified>, presented: &Presented<'_>) -> Lease {
        let is_announced = match presented.kind {
            Credential::Token => looks_like_jwt(presented.text),
            Credential::Key => false,
            _ => true,
        };
        let unannounced = (!is_announced).then_some(presented.text);
        Lease::new(self, verified, presented.digest, unannounced)
    }
}

// === impl Inner ===

impl Inner {
    async fn examine(&self, presented: &Presented<'_>) -> Result<Arc<Verified>, Rejection> {
        let Presented { text, digest, .. } = presented;
        match (presented.kind, &presented.certificate) {
            (Credential::Token, _) => self.examine_token(text, *digest).await,
            (Credential::Certificate, Some(certificate)) => {
                let verified = self.certificates.verify(certificate, self.clock.now())?;
                Ok(self.remember(*digest, Arc::new(verified)))
            }
            (kind, _) => match self.keys.find(text, digest) {
                Some(known) => known,
                None => self.inquire(text, *digest, kind).await,
            },
        }
    }

    /// Verifies a token of a configured issuer here, and asks about any other. A key may be sent
    /// as a token, by clients that have no other header.
    async fn examine_token(&self, text: &str, digest: Digest) -> Result<Arc<Verified>, Rejection> {
        if let Some(known) = self.keys.find(text, &digest) {
            return known;
        }
        let parsed = match looks_like_jwt(text) {
            true => Unverified::parse(text),
            false => Err(Rejection::Malformed),
        };
        let token = match parsed {
            Ok(token) => token,
            Err(_) if self.introspection.is_some() => {
                return self.inquire(text, digest, Credential::Token).await;
            }
            Err(rejection) => return Err(rejection),
        };
        match self.issuers.iter().find(|issuer| issuer.issues(&token)) {
            Some(issuer) => {
                let verified = issuer.verify(&token).await?;
                Ok(self.remember(digest, Arc::new(verified)))
            }
            None if self.introspection.is_some() => {
                self.inquire(text, digest, Credential::Token).await
            }
            None => Err(Rejection::Issuer),
        }
    }

    /// Asks the issuer of opaque tokens.
    async fn inquire(
        &self,
        text: &str,
        digest: Digest,
        kind: Credential,
    ) -> Result<Arc<Verified>, Rejection> {
        let introspection = self.introspection.as_ref().ok_or(Rejection::Unknown)?;
        let verified = introspection.examine(text, digest, kind).await?;
        Ok(self.remember(digest, verified))
    }

    fn remember(&self, digest: Digest, verified: Arc<Verified>) -> Arc<Verified> {
        self.memory.put(digest, &verified, self.clock.now());
        verified
    }

    /// Checks what may differ between two requests with the same credential.
    fn checked(
        &self,
        verified: Arc<Verified>,
        presented: &Presented<'_>,
    ) -> Result<Arc<Verified>, Rejection> {
        verified.check_revoked(&self.revocations)?;
        let certificate = presented.certificate.as_ref();
        verified.check_sender(certificate.map(|certificate| certificate.der))?;
        Ok(verified)
    }

    /// Reads the list of revocations at its interval. The old one stays while it can't be read.
    async fn follow_revocations(&self) {
        let Some(list) = &self.list else {
            return std::future::pending().await;
        };
        let authorization = list.authorization.as_ref();
        let mut seen = None;
        loop {
            let fetched = list.fetcher.get_as(&list.location, authorization).await;
            self.metrics.fetched(REVOCATIONS, fetched.is_ok());
            match fetched {
                Ok(text) if seen.as_ref() == Some(&text) => {}
                Ok(text) => {
                    match self.revocations.replace(&text) {
                        Ok(count) => tracing::debug!(count, "revocations read"),
                        Err(problem) => {
                            tracing::error!(
                                problem,
                                "list of revocations rejected, the old one stays"
                            );
                        }
                    }
                    seen = Some(text);
                }
                Err(error) => {
                    tracing::warn!(%error, "revocations not fetched, the known ones stay");
                }
            }
            self.clock.wait(list.interval).await;
        }
    }
}

fn list(settings: &AuthenticationSettings) -> Result<Option<RevocationSource>, ConfigError> {
    let revocations = &settings.revocations;
    if revocations.list.is_empty() {
        return Ok(None);
    }
    let invalid =
        |key: &'static str| move |problem: String| refuse(&format!("revocations.{key}"), &problem);
    let location = Location::parse(&revocations.list, revocations.allow_http);
    let fetcher = Fetcher::new(named(&revocations.ca), settings.fetch_timeout());
    let (id, file) = (&revocations.client_id, &revocations.client_secret_file);
    let authorization = match id.is_empty() {
        true => None,
        false => Some(client("revocations", id, file)?),
    };
    Ok(Some(RevocationSource {
        location: location.map_err(invalid("list"))?,
        authorization,
        fetcher: fetcher.map_err(invalid("ca"))?,
        interval: Duration::from_millis(revocations.interval_ms),
    }))
}
