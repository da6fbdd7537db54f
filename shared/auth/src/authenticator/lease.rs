//! The time for which a stream may go on with its credential.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Authenticator;
use crate::rejection::Rejection;
use crate::verified::{Digest, Verified};

/// Interval at which keys and opaque tokens are looked up again, whose end nothing announces.
const RECHECK: Duration = Duration::from_secs(2);

/// The right of a stream to go on. Clones are the same.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    authenticator: Authenticator,
    verified: Arc<Verified>,
    digest: Digest,
    /// A token or key whose end nothing announces.
    unannounced: Option<Box<str>>,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(
        authenticator: &Authenticator,
        verified: &Arc<Verified>,
        digest: Digest,
        unannounced: Option<&str>,
    ) -> Self {
        Self(Arc::new(Held {
            authenticator: authenticator.clone(),
            verified: verified.clone(),
            digest,
            unannounced: unannounced.map(Box::from),
        }))
    }

    /// Waits until the credential has expired and the grace is over, or until it is revoked.
    pub async fn ended(self) -> Rejection {
        let inner = &*self.0;
        let all = &inner.authenticator.0;
        let mut changes = all.revocations.changes();
        loop {
            changes.borrow_and_update();
            if let Err(rejection) = inner.verified.check_revoked(&all.revocations) {
                return rejection;
            }
            if let Err(rejection) = inner.look_up().await {
                return rejection;
            }
            let now = all.clock.now();
            let end = inner.verified.identity.expires.map(|it| it + all.grace);
            if end.is_some_and(|end| now >= end) {
                return Rejection::Expired;
            }
            tokio::select! {
                () = all.clock.wait_until(inner.next_look(now, end)) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Rejection::Unavailable;
                    }
                }
            }
        }
    }
}

// === impl Held ===

impl Held {
    fn next_look(&self, now: SystemTime, end: Option<SystemTime>) -> SystemTime {
        let far = now + Duration::from_secs(24 * 60 * 60);
        let next = match &self.unannounced {
            Some(_) => now + RECHECK,
            None => far,
        };
        end.map_or(next, |end| end.min(next))
    }

    /// Checks a credential whose end nothing announces. An issuer that does not answer ends no
    /// stream.
    async fn look_up(&self) -> Result<(), Rejection> {
        let Some(text) = &self.unannounced else {
            return Ok(());
        };
        let all = &self.authenticator.0;
        let is_known = all.memory.get(&self.digest, all.clock.now()).is_some();
        if is_known || all.keys.has(&self.digest) {
            return Ok(());
        }
        let kind = self.verified.identity.credential;
        match all.inquire(text, self.digest, kind).await {
            Ok(_) | Err(Rejection::Unavailable) => Ok(()),
            Err(Rejection::Unknown) => Err(Rejection::Revoked),
            Err(other) => Err(other),
        }
    }
}
