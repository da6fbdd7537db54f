//! The keys that sign tokens: one signs at a time, the next is published before, and the last ones
//! stay published while tokens of theirs are valid.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::revocation::SKEW;
use super::secret::RandomError;

/// A key as it is stored.
#[derive(Clone)]
pub struct StoredKey {
    /// Number of the key, from 1, without gaps.
    pub generation: i64,
    /// The private key, PKCS #8.
    pub pkcs8: Vec<u8>,
    /// Time from which it signs.
    pub signs_from: DateTime<Utc>,
}

/// A key with all that signing and verifying needs.
#[derive(Clone)]
pub struct SigningKey {
    /// The thumbprint of the key (RFC 7638).
    pub id: String,
    /// Time from which it signs.
    pub signs_from: DateTime<Utc>,
    /// The public part.
    pub jwk: Jwk,
    /// The private part.
    pub signing: EncodingKey,
    /// The public part, to verify with.
    pub verifying: DecodingKey,
}

/// The times of keys.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long a key signs.
    pub interval: Duration,
    /// How long it is published before.
    pub lead: Duration,
    /// How long a token is valid.
    pub token_life: Duration,
}

// === impl StoredKey ===

impl StoredKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate(generation: i64, signs_from: DateTime<Utc>) -> Result<Self, RandomError> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let pkcs8 = made.map_err(|_| RandomError)?.as_ref().to_vec();
        Ok(Self {
            generation,
            pkcs8,
            signs_from,
        })
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("StoredKey");
        shown.field("generation", &self.generation);
        shown
            .field("signs_from", &self.signs_from)
            .finish_non_exhaustive()
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// Reads a stored key.
    ///
    /// # Errors
    /// When it is not a key of the curve P-256.
    pub fn new(stored: &StoredKey) -> Result<Self, jsonwebtoken::errors::Error> {
        let signing = EncodingKey::from_ec_der(&stored.pkcs8);
        let mut jwk = Jwk::from_encoding_key(&signing, Algorithm::ES256)?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifying = DecodingKey::from_jwk(&jwk)?;
        Ok(Self {
            id,
            signs_from: stored.signs_from,
            jwk,
            signing,
            verifying,
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("SigningKey");
        shown.field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Rotation ===

impl Rotation {
    /// Returns generation and start of the next key, if it has to be made now; `keys` are ordered.
    /// The first one signs at once: there is nothing that could sign before.
    pub fn next(&self, keys: &[StoredKey], now: DateTime<Utc>) -> Option<(i64, DateTime<Utc>)> {
        let Some(last) = keys.last() else {
            return Some((1, now));
        };
        let due = last.signs_from + self.interval;
        // After a time without any process, the key is published first all the same.
        let is_due = now >= due - self.lead;
        is_due.then(|| (last.generation + 1, due.max(now + self.lead)))
    }

    /// Returns the last generation whose tokens have all expired.
    pub fn retired(&self, keys: &[StoredKey], now: DateTime<Utc>) -> Option<i64> {
        let pairs = keys.iter().zip(keys.iter().skip(1));
        let over = pairs.filter(|(_, next)| next.signs_from + self.token_life + SKEW <= now);
        over.map(|(key, _)| key.generation).next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATION: Rotation = Rotation {
        interval: Duration::minutes(60),
        lead: Duration::minutes(10),
        token_life: Duration::minutes(5),
    };

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minutes * 60, 0).unwrap()
    }

    fn keys(starts: &[i64]) -> Vec<StoredKey> {
        let keys = starts.iter().zip(1..);
        let keys = keys.map(|(start, generation)| StoredKey {
            generation,
            pkcs8: Vec::new(),
            signs_from: at(*start),
        });
        keys.collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs() {
        assert_eq!(ROTATION.next(&keys(&[]), at(7)), Some((1, at(7))));
        assert_eq!(ROTATION.next(&keys(&[0]), at(49)), None);
        assert_eq!(ROTATION.next(&keys(&[0]), at(50)), Some((2, at(60))));
        assert_eq!(ROTATION.next(&keys(&[0, 60]), at(59)), None);
        // No process was there in time.
        assert_eq!(ROTATION.next(&keys(&[0]), at(300)), Some((2, at(310))));
    }

    #[test]
    fn a_key_stays_until_its_tokens_have_expired() {
        let keys = keys(&[0, 60, 120]);
        assert_eq!(ROTATION.retired(&keys, at(69)), None);
        assert_eq!(ROTATION.retired(&keys, at(70)), Some(1));
        assert_eq!(ROTATION.retired(&keys, at(130)), Some(2));
        assert_eq!(ROTATION.retired(&keys, at(999)), Some(2));
    }

    #[test]
    fn a_stored_key_is_read_with_its_thumbprint() {
        let stored = StoredKey::generate(1, at(0)).unwrap();
        let key = SigningKey::new(&stored).unwrap();
        assert_eq!(key.id.len(), 43);
        let jwk = serde_json::to_value(&key.jwk).unwrap();
        assert_eq!((&jwk["crv"], &jwk["use"]), (&"P-256".into(), &"sig".into()));
        assert!(jwk.get("d").is_none());
        let other = SigningKey::new(&StoredKey::generate(2, at(0)).unwrap()).unwrap();
        assert_ne!(key.id, other.id);
    }
}
