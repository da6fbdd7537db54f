//! Signs the calls of a process.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, Header};

use super::bounded::{Bounded, Expiring};
use super::claims::{Actor, CallClaims, LIFE_S, Subject, TYPE, seconds, service_of};
use super::key::{KeyError, ProcessKey, SigningKey, encode_set};
use crate::identity::Identity;

/// Signs the calls of one process. Tokens are kept for half of their life, so that most calls only
/// look one up.
pub struct Signer {
    process: String,
    source: KeySource,
    keys: ArcSwap<KeyRing>,
    minted: Bounded<Minted>,
}

enum KeySource {
    /// A key that only this process has.
    Own,
    File(PathBuf),
}

/// The key that signs; the one before it, whose tokens may still be on their way; and that of the
/// next rotation, which others learn before it signs. Of a file there is no next one.
struct KeyRing {
    key: SigningKey,
    header: Header,
    id: Arc<str>,
    before: Option<ProcessKey>,
    next: Option<SigningKey>,
}

struct Minted {
    method: Box<str>,
    forwarded: bool,
    caller: Option<Arc<Identity>>,
    value: HeaderValue,
    /// The `kid` of the key that signed it: one that is replaced signs nothing more.
    key: Arc<str>,
    reused_until: u64,
}

// === impl Signer ===

impl Signer {
    /// Creates a signer for the process of this name with a key of its own, which
    /// [`Signer::rotate`] replaces.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(process: impl Into<String>) -> Result<Self, KeyError> {
        let next = Some(SigningKey::generate()?);
        let keys = KeyRing::new(SigningKey::generate()?, None, next);
        Ok(Self::with(process, KeySource::Own, keys))
    }

    /// Creates a signer with the key of a file, which [`Signer::rotate`] reads again.
    ///
    /// # Errors
    /// A file without a P-256 key in PKCS #8.
    pub fn from_file(process: impl Into<String>, file: PathBuf) -> Result<Self, KeyError> {
        let keys = KeyRing::new(SigningKey::read(&file)?, None, None);
        Ok(Self::with(process, KeySource::File(file), keys))
    }

    fn with(process: impl Into<String>, source: KeySource, keys: KeyRing) -> Self {
        Self {
            process: process.into(),
            source,
            keys: ArcSwap::from_pointee(keys),
            minted: Bounded::new(),
        }
    }

    /// Replaces an own key by the next one, or reads the file again; the key before stays in
    /// [`Signer::key_set`]. Returns whether the key has changed.
    ///
    /// # Errors
    /// As at the creation; the key stays then.
    pub fn rotate(&self) -> Result<bool, KeyError> {
        let now = self.keys.load();
        let before = Some(now.key.public.clone());
        let rotated = match (&self.source, &now.next) {
            (KeySource::File(file), _) => KeyRing::new(SigningKey::read(file)?, before, None),
            (KeySource::Own, Some(next)) => {
                KeyRing::new(next.clone(), before, Some(SigningKey::generate()?))
            }
            (KeySource::Own, None) => return Ok(false),
        };
        if now.key.public.kid == rotated.key.public.kid {
            return Ok(false);
        }
        self.keys.store(Arc::new(rotated));
        self.minted.clear();
        Ok(true)
    }

    /// Returns whether the key is one that the process has made.
    pub fn has_own_key(&self) -> bool {
        matches!(self.source, KeySource::Own)
    }

    /// Returns the JWK set that others verify with.
    pub fn key_set(&self) -> String {
        let keys = self.keys.load();
        let next = keys.next.as_ref().map(|key| key.public.clone());
        let all = [Some(keys.key.public.clone()), next, keys.before.clone()];
        encode_set(all.into_iter().flatten().collect())
    }

    /// Returns the token of a call that is passed on as it came; `None` is an anonymous caller.
    ///
    /// # Errors
    /// The words of the library, if it can't sign.
    pub fn forward(
        &self,
        method: &str,
        caller: Option<&Arc<Identity>>,
    ) -> Result<HeaderValue, String> {
        self.token(method, caller, true)
    }

    /// Returns the token of a call that this process has decided to make: on behalf of a caller, or
    /// on its own.
    ///
    /// # Errors
    /// The words of the library, if it can't sign.
    pub fn call(
        &self,
        method: &str,
        caller: Option<&Arc<Identity>>,
    ) -> Result<HeaderValue, String> {
        self.token(method, caller, false)
    }

    fn token(
        &self,
        method: &str,
        caller: Option<&Arc<Identity>>,
        forwarded: bool,
    ) -> Result<HeaderValue, String> {
        let now = seconds(SystemTime::now());
        let names = caller.map(|caller| (&caller.issuer, &caller.subject, &caller.credential_id));
        let hash = self.minted.hash((method, forwarded, names));
        let keys = self.keys.load();
        let kept = self.minted.get(hash, |minted| {
            let is_same = minted.reused_until > now
                && Arc::ptr_eq(&minted.key, &keys.id)
                && minted.forwarded == forwarded
                && *minted.method == *method
                && is_same_caller(minted.caller.as_ref(), caller);
            is_same.then(|| minted.value.clone())
        });
        if let Some(value) = kept {
            return Ok(value);
        }
        let (value, expires) = self.sign(&keys, method, caller, forwarded, now)?;
        let minted = Minted {
            method: method.into(),
            forwarded,
            caller: caller.cloned(),
            value: value.clone(),
            key: keys.id.clone(),
            reused_until: now + expires.saturating_sub(now) / 2,
        };
        self.minted.insert(hash, minted, now);
        Ok(value)
    }

    fn sign(
        &self,
        keys: &KeyRing,
        method: &str,
        caller: Option<&Arc<Identity>>,
        forwarded: bool,
        now: u64,
    ) -> Result<(HeaderValue, u64), String> {
        let subject = match (caller, forwarded) {
            (Some(caller), _) => Some(Subject::of(caller)),
            (None, true) => None,
            (None, false) => Some(Subject::process(&self.process)),
        };
        // No longer than the credential that it stands for.
        let until = caller.and_then(|caller| caller.expires).map(seconds);
        let exp = until.map_or(now + LIFE_S, |until| until.min(now + LIFE_S));
        let claims = CallClaims {
            iss: self.process.clone(),
            aud: service_of(method).to_owned(),
            method: method.to_owned(),
            iat: now,
            exp,
            act: Actor {
                sub: self.process.clone(),
            },
            forwarded,
            subject,
        };
        let token = jsonwebtoken::encode(&keys.header, &claims, &keys.key.signing);
        let token = token.map_err(|error| error.to_string())?;
        let mut value = HeaderValue::try_from(token).map_err(|error| error.to_string())?;
        // Neither in logs nor in tables of header compression.
        value.set_sensitive(true);
        Ok((value, exp))
    }
}

fn is_same_caller(one: Option<&Arc<Identity>>, other: Option<&Arc<Identity>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        _ => false,
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

// === impl KeyRing ===

impl KeyRing {
    fn new(key: SigningKey, before: Option<ProcessKey>, next: Option<SigningKey>) -> Self {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.public.kid.clone());
        Self {
            id: key.public.kid.as_str().into(),
            key,
            header,
            before,
            next,
        }
    }
}

impl Expiring for Minted {
    fn is_over(&self, now: u64) -> bool {
        self.reused_until <= now
    }
}
