//! Verifies the tokens of the processes that one trusts.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::sync::Mutex;

use super::bounded::{Bounded, Expiring};
use super::claims::{CallClaims, LIFE_S, SKEW_S, TYPE, seconds, service_of};
use super::key::{KeyError, decode_set};
use crate::fetch::{Fetcher, Location};
use crate::identity::Identity;

/// Longest token, in bytes.
const TOKEN_MAX: usize = 8 * 1024;
/// Longest name of a process, in bytes: an error repeats it.
const NAME_MAX: usize = 64;
/// Shortest time between two readings of one process's keys, which tokens with unknown keys cause.
const REREAD: Duration = Duration::from_secs(1);
/// Longest wait for the keys of a process.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes at the end of a token by which it is found again; the signature is the part that differs.
const TAIL: usize = 64;

/// Verifies tokens. Good ones are kept until they expire, so that a busy caller's cost a
/// look-up.
pub struct Verifier {
    trusted: HashMap<String, Trusted>,
    verified: Bounded<Kept>,
}

/// The keys of a process, as text of a JWK set, whenever they are asked for.
pub struct TrustedKeys(Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>);

/// A call as its token tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The process that makes the call.
    pub process: String,
    /// Whether the process passes on the call of another; otherwise it has decided to call.
    pub forwarded: bool,
    /// The caller: the end user or, where there is none, the process itself; `None` for an
    /// anonymous caller whose call is passed on.
    pub identity: Option<Arc<Identity>>,
}

/// The reasons why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not a token of this kind, or signed by no key of its process.
    #[error("the token is malformed or forged")]
    Forged,
    /// The caller is not among the trusted processes.
    #[error("process {0:?} is not trusted here")]
    Untrusted(String),
    /// The key is not among those of the process.
    #[error("process {0:?} has no such key")]
    UnknownKey(String),
    /// The token is over, not valid yet, or of too long a life.
    #[error("the token has expired, or lives too long")]
    Expired,
    /// The token is for another service or method.
    #[error("the token is for another method")]
    OtherMethod,
}

struct Trusted {
    keys: TrustedKeys,
    by_id: ArcSwap<HashMap<String, DecodingKey>>,
    /// The last reading; held while one is under way.
    read: Mutex<Option<Instant>>,
}

struct Kept {
    token: Box<str>,
    claims: CallClaims,
    called: Arc<Called>,
}

// === impl TrustedKeys ===

impl TrustedKeys {
    /// Asks a function for the keys.
    pub fn new<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self(Box::new(move || read().boxed()))
    }

    /// Reads the keys at a place: a file, or a URL of https, or of http on this machine. `ca` is
    /// the file of the trust anchors, in place of those of the system.
    ///
    /// # Errors
    /// A malformed URL, or trust anchors that can't be read.
    pub fn at(place: &str, ca: Option<&Path>) -> Result<Self, String> {
        let location = Location::parse(place, false)?;
        if let Location::File(file) = location {
            return Ok(Self::new(move || read(file.clone())));
        }
        let fetcher = Fetcher::new(ca, FETCH_TIMEOUT)?;
        let place = place.to_owned();
        Ok(Self::new(move || {
            let (location, fetcher, place) = (location.clone(), fetcher.clone(), place.clone());
            async move {
                let fetched = fetcher.get(&location).await;
                let bytes = fetched.map_err(|error| format!("{place}: {error}"))?;
                String::from_utf8(bytes.into()).map_err(|_| format!("{place}: not text"))
            }
        }))
    }
}

async fn read(file: PathBuf) -> Result<String, String> {
    let text = tokio::fs::read_to_string(&file).await;
    text.map_err(|error| format!("{}: {error}", file.display()))
}

// === impl Verifier ===

impl Verifier {
    /// Creates a verifier that trusts these processes.
    pub fn new(trusted: impl IntoIterator<Item = (String, TrustedKeys)>) -> Self {
        let trusted = trusted.into_iter().map(|(name, keys)| {
            let trusted = Trusted {
                keys,
                by_id: ArcSwap::default(),
                read: Mutex::new(None),
            };
            (name, trusted)
        });
        Self {
            trusted: trusted.collect(),
            verified: Bounded::new(),
        }
    }

    /// Reads the keys of all processes anew; those of one that can't be read stay.
    ///
    /// # Errors
    /// The first process whose keys can't be read, and the reason.
    pub async fn refresh(&self) -> Result<(), String> {
        let mut outcome = Ok(());
        for (name, trusted) in &self.trusted {
            let mut read = trusted.read.lock().await;
            *read = Some(Instant::now());
            let fresh = trusted.load().await;
            outcome = outcome.and(fresh.map_err(|problem| format!("{name}: {problem}")));
        }
        outcome
    }

    /// Verifies the token of a call of this method.
    ///
    /// # Errors
    /// The reason why the token proves nothing here.
    pub async fn verify(&self, token: &str, method: &str) -> Result<Arc<Called>, Distrust> {
        let now = seconds(SystemTime::now());
        let tail = token.len().saturating_sub(TAIL);
        let hash = self.verified.hash(token.as_bytes().get(tail..));
        let kept = self.verified.get(hash, |verified| {
            (*verified.token == *token).then(|| match () {
                () if verified.claims.exp + SKEW_S < now => Err(Distrust::Expired),
                () if verified.claims.method != method => Err(Distrust::OtherMethod),
                () => Ok(verified.called.clone()),
            })
        });
        if let Some(outcome) = kept {
            return outcome;
        }
        // Boxed to keep this future small: it is seldom needed.
        let claims = self.check(token, method, now).boxed().await?;
        let called = Arc::new(Called {
            process: claims.iss.clone(),
            forwarded: claims.forwarded,
            identity: claims.identity().map(Arc::new),
        });
        let verified = Kept {
            token: token.into(),
            claims,
            called: called.clone(),
        };
        self.verified.insert(hash, verified, now);
        Ok(called)
    }

    async fn check(&self, token: &str, method: &str, now: u64) -> Result<CallClaims, Distrust> {
        if token.len() > TOKEN_MAX {
            return Err(Distrust::Forged);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Distrust::Forged)?;
        let is_ours = header.alg == Algorithm::ES256 && header.typ.as_deref() == Some(TYPE);
        let key_id = header.kid.filter(|_| is_ours).ok_or(Distrust::Forged)?;
        let issuer = unverified_issuer(token).filter(|name| name.len() <= NAME_MAX);
        let issuer = issuer.ok_or(Distrust::Forged)?;
        let Some(trusted) = self.trusted.get(&issuer) else {
            return Err(Distrust::Untrusted(issuer));
        };
        let Some(key) = trusted.key(&key_id).await else {
            return Err(Distrust::UnknownKey(issuer));
        };
        let mut validation = Validation::new(Algorithm::ES256);
        // Times and audience are checked below, each with its own reason.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims::<&str>(&[]);
        let data = jsonwebtoken::decode::<CallClaims>(token, &key, &validation);
        let claims = data.map_err(|_| Distrust::Forged)?.claims;
        let is_timely = claims.exp + SKEW_S >= now
            && claims.iat <= now + SKEW_S
            && claims.exp <= claims.iat.saturating_add(LIFE_S);
        if !is_timely {
            return Err(Distrust::Expired);
        }
        if claims.iss != issuer || claims.act.sub != issuer {
            return Err(Distrust::Forged);
        }
        if claims.method != method || claims.aud != service_of(method) {
            return Err(Distrust::OtherMethod);
        }
        Ok(claims)
    }
}

/// Reads the issuer, whose keys the signature is then checked with.
fn unverified_issuer(token: &str) -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[derive(serde::Deserialize)]
    struct Issuer {
        iss: String,
    }
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Issuer { iss } = serde_json::from_slice(&json).ok()?;
    Some(iss)
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("trusted", &self.trusted.keys())
            .finish_non_exhaustive()
    }
}

// === impl Trusted ===

impl Trusted {
    /// Returns a key; an unknown one makes the keys be read again, once for all who wait, and at
    /// most once a second.
    async fn key(&self, id: &str) -> Option<DecodingKey> {
        let known = || self.by_id.load().get(id).cloned();
        if let Some(key) = known() {
            return Some(key);
        }
        let mut read = self.read.lock().await;
        if let Some(key) = known() {
            return Some(key);
        }
        if read.is_some_and(|read| read.elapsed() < REREAD) {
            return None;
        }
        *read = Some(Instant::now());
        if let Err(problem) = self.load().await {
            tracing::warn!(problem, "keys of a trusted process not read");
        }
        known()
    }

    async fn load(&self) -> Result<(), String> {
        let text = (self.keys.0)().await?;
        let keys = decode_set(&text).map_err(|error: KeyError| error.to_string())?;
        self.by_id.store(Arc::new(keys.into_iter().collect()));
        Ok(())
    }
}

impl Expiring for Kept {
    fn is_over(&self, now: u64) -> bool {
        self.claims.exp + SKEW_S < now
    }
}
