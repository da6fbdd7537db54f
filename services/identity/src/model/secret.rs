//! Secrets of clients and API keys: 256 random bits, of which only the SHA-256 is kept.
//!
//! A slow hash makes guesses expensive where people choose words. No one can guess 256 random bits,
//! so a fast one is as safe, and a call with a key costs a microsecond instead of a tenth of a
//! second that anyone could make the service spend.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a secret, and of a digest.
const BYTES: usize = 32;
/// Sign between the ID of a key and its secret.
const SEPARATOR: char = '.';

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; BYTES]);

/// A secret that is shown once.
pub struct NewSecret {
    /// The text that its holder sends.
    pub text: String,
    /// The part that is stored.
    pub digest: Digest,
}

/// No randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system has no randomness")]
pub struct RandomError;

// === impl Digest ===

impl Digest {
    /// Returns the digest of a secret.
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Reads a stored digest; `None` if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads a digest in hexadecimal.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 2 * BYTES || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether a secret has this digest.
    pub fn is_of(&self, text: &str) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(text).0).is_ok()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digest(…)")
    }
}

// === impl NewSecret ===

impl NewSecret {
    /// Makes the secret of a client.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, RandomError> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).map_err(|_| RandomError)?;
        Ok(Self::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Makes an API key, which begins with its ID.
    ///
    /// # Errors
    /// See [`generate`](Self::generate).
    pub fn of_key(key_id: &str) -> Result<Self, RandomError> {
        let secret = Self::generate()?;
        Ok(Self::new(format!("{key_id}{SEPARATOR}{}", secret.text)))
    }

    fn new(text: String) -> Self {
        let digest = Digest::of(&text);
        Self { text, digest }
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NewSecret(…)")
    }
}

/// Returns the ID in an API key; `None` for another text.
pub fn key_id_of(key: &str) -> Option<&str> {
    let (id, secret) = key.split_once(SEPARATOR)?;
    (!id.is_empty() && !secret.contains(SEPARATOR)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_random_bits_and_only_its_digest_is_printed() {
        let (one, other) = (
            NewSecret::generate().unwrap(),
            NewSecret::generate().unwrap(),
        );
        assert_eq!(URL_SAFE_NO_PAD.decode(&one.text).unwrap().len(), 32);
        assert_ne!(one.text, other.text);
        assert!(one.digest.is_of(&one.text));
        assert!(!one.digest.is_of(&other.text));
        assert!(!format!("{one:?}{:?}", one.digest).contains(&one.text));
    }

    #[test]
    fn a_key_begins_with_its_id() {
        let key = NewSecret::of_key("shop_1").unwrap();
        assert_eq!(key_id_of(&key.text), Some("shop_1"));
        for text in ["", ".x", "shop", "a.b.c"] {
            assert_eq!(key_id_of(text), None, "{text}");
        }
    }

    #[test]
    fn digests_are_read_in_hexadecimal() {
        let digest = Digest::of("secret");
        let hex: String = digest
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(Digest::from_hex(&hex), Some(digest));
        for text in ["", "zz", &hex[1..], &format!("é{}", &hex[2..])] {
            assert_eq!(Digest::from_hex(text), None, "{text}");
        }
    }
}
