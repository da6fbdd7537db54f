//! Revoked credentials and callers, from a list that is polled and from events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rpc::lock::lock;
use serde::Deserialize;
use tokio::sync::watch;

use crate::identity::Identity;

/// Most revocations from one source.
const MAX_REVOCATIONS: usize = 100_000;

/// A revocation of one credential, or of all that a caller has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Revocation {
    /// The issuer; by default any.
    pub issuer: Option<String>,
    /// The credential: `jti` of a token, or the prefix of a key.
    pub id: Option<String>,
    /// The caller whose credentials are revoked.
    pub subject: Option<String>,
    /// Credentials of the caller that were issued at this time or later stay valid, in seconds
    /// since the epoch. By default none does.
    pub issued_before: Option<u64>,
    /// The time from which the revocation may be forgotten, in seconds since the epoch: when the
    /// last credential that it is about has expired. By default it stays.
    pub until: Option<u64>,
}

/// A revocation that can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Neither a credential nor a caller.
    #[error("a revocation names a credential (`id`) or a caller (`subject`)")]
    Nothing,
    /// No room.
    #[error("more than {MAX_REVOCATIONS} revocations")]
    TooMany,
}

#[derive(Deserialize)]
struct List {
    revoked: Vec<Revocation>,
}

/// The revocations that are known.
pub(crate) struct Revocations {
    /// Those that were told one by one.
    told: Mutex<Arc<Index>>,
    /// Both, for readers.
    known: ArcSwap<[Arc<Index>; 2]>,
    /// Counts changes, so that what was checked once is not checked again.
    version: AtomicU64,
    changes: watch::Sender<u64>,
}

/// Revocations by the credential or caller that they name.
#[derive(Default, Clone)]
struct Index {
    ids: HashMap<String, Vec<Revocation>>,
    subjects: HashMap<String, Vec<Revocation>>,
    count: usize,
}

// === impl Revocations ===

impl Default for Revocations {
    fn default() -> Self {
        Self {
            told: Mutex::default(),
            known: ArcSwap::default(),
            // Credentials begin at zero, and are checked once.
            version: AtomicU64::new(1),
            changes: watch::Sender::new(1),
        }
    }
}

impl Revocations {
    /// Returns the version of what is known.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns a receiver that hears of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns whether a credential is revoked.
    pub(crate) fn concern(&self, identity: &Identity, issued: Option<SystemTime>) -> bool {
        let known = self.known.load();
        known.iter().any(|index| index.concern(identity, issued))
    }

    /// Adds one revocation.
    pub(crate) fn add(
        &self,
        revocation: Revocation,
        now: SystemTime,
    ) -> Result<(), RevocationError> {
        let mut told = lock(&self.told);
        let mut index = (**told).clone();
        if index.count >= MAX_REVOCATIONS {
            index.forget(now);
        }
        index.add(revocation)?;
        *told = Arc::new(index);
        let listed = self.known.load()[1].clone();
        self.publish([told.clone(), listed]);
        Ok(())
    }

    /// Replaces the list: `{"revoked":[{"id":"…"},{"subject":"…"}]}`.
    ///
    /// # Errors
    /// A text that is not a list; the old one stays.
    pub(crate) fn replace(&self, text: &[u8]) -> Result<usize, String> {
        let list: List = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut index = Index::default();
        for revocation in list.revoked {
            index.add(revocation).map_err(|error| error.to_string())?;
        }
        let count = index.count;
        let told = lock(&self.told);
        self.publish([told.clone(), Arc::new(index)]);
        Ok(count)
    }

    /// Takes over what another authenticator was told.
    pub(crate) fn inherit(&self, before: &Self) {
        let inherited = before.known.load_full();
        let mut told = lock(&self.told);
        *told = inherited[0].clone();
        self.publish([told.clone(), inherited[1].clone()]);
    }

    fn publish(&self, known: [Arc<Index>; 2]) {
        self.known.store(Arc::new(known));
        let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
        self.changes.send_replace(version);
    }
}

// === impl Index ===

impl Index {
    fn add(&mut self, revocation: Revocation) -> Result<(), RevocationError> {
        let (names, name) = match (&revocation.id, &revocation.subject) {
            (Some(id), _) => (&mut self.ids, id.clone()),
            (None, Some(subject)) => (&mut self.subjects, subject.clone()),
            (None, None) => return Err(RevocationError::Nothing),
        };
        let same = names.entry(name).or_default();
        if same.contains(&revocation) {
            return Ok(());
        }
        if self.count >= MAX_REVOCATIONS {
            return Err(RevocationError::TooMany);
        }
        same.push(revocation);
        self.count += 1;
        Ok(())
    }

    /// Drops what is only about credentials that have expired.
    fn forget(&mut self, now: SystemTime) {
        let stays = |one: &Revocation| one.until.is_none_or(|until| now < time(until));
        for names in [&mut self.ids, &mut self.subjects] {
            names.values_mut().for_each(|all| all.retain(stays));
            names.retain(|_, all| !all.is_empty());
        }
        let all = self.ids.values().chain(self.subjects.values());
        self.count = all.map(Vec::len).sum();
    }

    fn concern(&self, identity: &Identity, issued: Option<SystemTime>) -> bool {
        if self.count == 0 {
            return false;
        }
        let id = identity.credential_id.as_ref();
        let by_id = id.and_then(|id| self.ids.get(id));
        let by_subject = self.subjects.get(&identity.subject);
        let mut all = by_id.into_iter().chain(by_subject).flatten();
        all.any(|one| one.concerns(identity, issued))
    }
}

// === impl Revocation ===

impl Revocation {
    /// Returns whether a credential whose ID or subject is the one named here is revoked.
    fn concerns(&self, identity: &Identity, issued: Option<SystemTime>) -> bool {
        let is_of_issuer = self.issuer.as_ref().is_none_or(|it| *it == identity.issuer);
        let is_of_subject = self
            .subject
            .as_ref()
            .is_none_or(|it| *it == identity.subject);
        let is_early = match (self.issued_before, issued) {
            (Some(before), Some(issued)) => issued < time(before),
            _ => true,
        };
        is_of_issuer && is_of_subject && is_early
    }
}

fn time(seconds: u64) -> SystemTime {
    let since = Duration::from_secs(seconds.min(u32::MAX.into()));
    SystemTime::UNIX_EPOCH + since
}
