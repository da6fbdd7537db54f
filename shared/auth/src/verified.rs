//! Credentials that were verified, remembered by their digest for no longer than they live.

mod revocations;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::identity::Identity;
use crate::rejection::Rejection;
use crate::token::Binding;

pub(crate) use revocations::Revocations;
pub use revocations::{Revocation, RevocationError};

/// About how many bytes an identity takes beside its texts.
const OVERHEAD_BYTES: usize = 320;

/// About how many bytes an element of a set takes beside its text.
const ELEMENT_BYTES: usize = 32;

/// A verified credential.
#[derive(Debug)]
pub struct Verified {
    /// The caller that it proves.
    pub identity: Arc<Identity>,
    /// The time of issue, where the credential has one.
    issued: Option<SystemTime>,
    /// The certificate that its sender must have.
    binding: Option<Binding>,
    /// The time from which it has to be verified again, at the latest when it expires.
    remembered_until: Option<SystemTime>,
    /// The version of the revocations of which none is about it.
    checked: AtomicU64,
}

/// The digest of a credential, which alone is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// Remembers verified credentials within a number of bytes.
pub(crate) struct Memory {
    cache: Cache<Digest, Arc<Verified>, ByBytes>,
}

/// Weighs by about the bytes that an entry takes.
#[derive(Clone)]
struct ByBytes;

impl Weighter<Digest, Arc<Verified>> for ByBytes {
    fn weight(&self, _: &Digest, verified: &Arc<Verified>) -> u64 {
        let identity = &verified.identity;
        let texts = [&identity.issuer, &identity.subject].map(String::len);
        let optional = [&identity.tenant, &identity.credential_id];
        let optional = optional.into_iter().flatten().map(String::len);
        let sets = identity.roles.iter().chain(&identity.scopes);
        let sets = sets.map(|name| name.len() + ELEMENT_BYTES);
        let bytes = texts.into_iter().chain(optional).chain(sets).sum::<usize>();
        (bytes + OVERHEAD_BYTES) as u64
    }
}

// === impl Verified ===

impl Verified {
    pub(crate) fn new(
        identity: Identity,
        issued: Option<SystemTime>,
        binding: Option<Binding>,
    ) -> Self {
        Self {
            remembered_until: identity.expires,
            identity: Arc::new(identity),
            issued,
            binding,
            checked: AtomicU64::new(0),
        }
    }

    /// Shortens the time for which the credential is remembered.
    pub(crate) fn remembered_until(mut self, time: SystemTime) -> Self {
        let expires = self.remembered_until.unwrap_or(time);
        self.remembered_until = Some(expires.min(time));
        self
    }

    /// Checks that the credential is not revoked.
    pub(crate) fn check_revoked(&self, revocations: &Revocations) -> Result<(), Rejection> {
        let version = revocations.version();
        if self.checked.load(Ordering::Acquire) == version {
            return Ok(());
        }
        if revocations.concern(&self.identity, self.issued) {
            return Err(Rejection::Revoked);
        }
        self.checked.store(version, Ordering::Release);
        Ok(())
    }

    /// Checks that the sender has the certificate that the credential is bound to.
    pub(crate) fn check_sender(&self, certificate: Option<&[u8]>) -> Result<(), Rejection> {
        match self.binding {
            None => Ok(()),
            Some(binding) => binding.check(certificate.map(|der| Sha256::digest(der).into())),
        }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.remembered_until.is_none_or(|until| now < until)
    }
}

// === impl Digest ===

impl Digest {
    /// Returns the digest of a token or key.
    pub(crate) fn of(credential: &[u8]) -> Self {
        Self(Sha256::digest(credential).into())
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let entries = (max_bytes / (2 * OVERHEAD_BYTES)).max(1);
        Self {
            cache: Cache::with_weighter(entries, max_bytes as u64, ByBytes),
        }
    }

    /// Returns the credential with this digest, unless it has to be verified again.
    pub(crate) fn get(&self, digest: &Digest, now: SystemTime) -> Option<Arc<Verified>> {
        let found = self.cache.get(digest)?;
        if found.is_fresh(now) {
            return Some(found);
        }
        self.cache.remove(digest);
        None
    }

    /// Remembers a credential for as long as it may be.
    pub(crate) fn put(&self, digest: Digest, verified: &Arc<Verified>, now: SystemTime) {
        if verified.is_fresh(now) {
            self.cache.insert(digest, verified.clone());
        }
    }
}
