//! The keys of this process: read from the database at an interval, made when one is due.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::JwkSet;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::model::{Rotation, SigningKey, StoredKey};
use crate::store;

/// The keys that are published. They stay in use while the database is away.
pub struct Keys {
    pool: PgPool,
    rotation: Rotation,
    refresh: std::time::Duration,
    /// Ordered by the time from which they sign.
    published: ArcSwap<Vec<SigningKey>>,
}

// === impl Keys ===

impl Keys {
    /// Reads the keys, and makes the first one.
    ///
    /// # Errors
    /// When the database fails, or a stored key can't be read.
    pub async fn open(
        pool: PgPool,
        rotation: Rotation,
        refresh: std::time::Duration,
    ) -> Result<Self, Error> {
        let keys = Self {
            pool,
            rotation,
            refresh,
            published: ArcSwap::default(),
        };
        keys.update(Utc::now()).await?;
        Ok(keys)
    }

    /// Reads and makes keys until `stop`, and forgets revocations that have expired.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(self.refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                ticks.tick().await;
                let updated = self.update(Utc::now()).await;
                let forgotten = store::forget_expired(&self.pool).await;
                if let Err(error) = updated.and(forgotten) {
                    let error = anyhow::Error::from(error);
                    let error = format_args!("{error:#}");
                    tracing::warn!(error, "keys not read, the known ones stay");
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Returns the public keys.
    pub fn set(&self) -> JwkSet {
        let published = self.published.load();
        JwkSet {
            keys: published.iter().map(|key| key.jwk.clone()).collect(),
        }
    }

    /// Returns the keys that are published.
    pub fn published(&self) -> Arc<Vec<SigningKey>> {
        self.published.load_full()
    }

    /// Returns the key that signs.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn signing(&self, now: DateTime<Utc>) -> Result<SigningKey, Error> {
        let published = self.published.load();
        let mut keys = published.iter().rev();
        let signing = keys.find(|key| key.signs_from <= now);
        signing.cloned().ok_or(Error::NoKey)
    }

    async fn update(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let mut stored = store::signing_keys(&self.pool).await?;
        if let Some((generation, signs_from)) = self.rotation.next(&stored, now) {
            let key = StoredKey::generate(generation, signs_from)?;
            store::add_signing_key(&self.pool, &key).await?;
            // Another process may have been first.
            stored = store::signing_keys(&self.pool).await?;
        }
        if let Some(last) = self.rotation.retired(&stored, now) {
            store::drop_signing_keys(&self.pool, last).await?;
            stored.retain(|key| key.generation > last);
        }
        let keys = stored.iter().map(SigningKey::new);
        let keys: Vec<SigningKey> = keys.collect::<Result<_, _>>().map_err(Error::Signing)?;
        let ids = |keys: &[SigningKey]| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
        let (before, after) = (ids(&self.published.load()), ids(&keys));
        if before != after {
            tracing::info!(keys = ?after, "published keys changed");
        }
        self.published.store(Arc::new(keys));
        Ok(())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Keys");
        shown
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}
