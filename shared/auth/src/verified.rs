//! Credentials that were verified, remembered by their digest for no longer than they live.

use std::sync::Arc;
use std::time::SystemTime;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::identity::Identity;
use crate::token::Binding;

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
    pub(crate) issued: Option<SystemTime>,
    /// The certificate that its sender must have.
    pub(crate) binding: Option<Binding>,
}

/// The digest of a credential, which alone is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// Remembers verified credentials within a number of bytes.
pub(crate) struct Memory {
    cache: Cache<Digest, Arc<Verified>, Bytes>,
}

/// Weighs by about the bytes that an entry takes.
#[derive(Clone)]
struct Bytes;

impl Weighter<Digest, Arc<Verified>> for Bytes {
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

// === impl Digest ===

impl Digest {
    /// Returns the digest of a token or key.
    pub(crate) fn of(credential: &[u8]) -> Self {
        Self(Sha256::digest(credential).into())
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let entries = (max_bytes / (2 * OVERHEAD_BYTES)).max(1);
        Self {
            cache: Cache::with_weighter(entries, max_bytes as u64, Bytes),
        }
    }

    /// Returns the credential with this digest, unless it has expired.
    pub(crate) fn get(&self, digest: &Digest, now: SystemTime) -> Option<Arc<Verified>> {
        let found = self.cache.get(digest)?;
        let expires = found.identity.expires;
        if expires.is_none_or(|expires| now < expires) {
            return Some(found);
        }
        self.cache.remove(digest);
        None
    }

    /// Remembers a credential, unless it has expired.
    pub(crate) fn put(&self, digest: Digest, verified: &Arc<Verified>, now: SystemTime) {
        let expires = verified.identity.expires;
        if expires.is_none_or(|expires| now < expires) {
            self.cache.insert(digest, verified.clone());
        }
    }
}
