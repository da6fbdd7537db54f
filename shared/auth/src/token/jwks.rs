//! The keys of an issuer (JWK Set, RFC 7517 §5).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, Unverified};
use crate::rejection::Rejection;

/// Most keys that are read of one issuer.
const MAX_KEYS: usize = 100;

/// The smallest and the largest RSA key, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// A text that is not a set of keys, or has none that verifies signatures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JwksError {
    #[error("not a JWK set: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("the JWK set has no key that verifies signatures")]
    Empty,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

// === impl KeySet ===

impl KeySet {
    /// Reads a JWK set. Keys of unknown kinds and for other uses are skipped (RFC 7517 §5).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, JwksError> {
        let document: Document = serde_json::from_slice(text)?;
        if document.keys.len() > MAX_KEYS {
            tracing::warn!(
                count = document.keys.len(),
                "too many keys, the rest is ignored"
            );
        }
        let keys = document.keys.into_iter().take(MAX_KEYS);
        let keys: Vec<_> = keys.filter_map(PublicKey::read).collect();
        match keys.is_empty() {
            true => Err(JwksError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks the signature of a token.
    ///
    /// # Errors
    /// `UnknownKey` if another set may have the key.
    pub(crate) fn verify(&self, token: &Unverified<'_>) -> Result<(), Rejection> {
        let key = self.find(token).ok_or(Rejection::UnknownKey)?;
        let verified = jsonwebtoken::crypto::verify(
            token.signature,
            token.signed.as_bytes(),
            &key.key,
            token.algorithm.of_library(),
        );
        match verified {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Rejection::Signature),
        }
    }

    /// Returns the key that a token names. A token that names none has the only one that fits.
    fn find(&self, token: &Unverified<'_>) -> Option<&PublicKey> {
        let mut fitting = self.0.iter().filter(|key| {
            key.algorithms.contains(&token.algorithm)
                && (token.key_id.is_none() || key.id == token.key_id)
        });
        let first = fitting.next()?;
        match token.key_id.is_none() && fitting.next().is_some() {
            true => None,
            false => Some(first),
        }
    }
}

// === impl PublicKey ===

impl PublicKey {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let is_for_signatures = match &common.public_key_use {
            None => true,
            Some(usage) => *usage == PublicKeyUse::Signature,
        };
        let operations = common.key_operations.as_ref();
        let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm);
        if let Some(only) = &common.key_algorithm {
            let only = Algorithm::named(&only.to_string());
            algorithms.retain(|algorithm| Some(*algorithm) == only);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// Returns what a key can verify. A symmetric key verifies nothing: whoever verifies with it could
/// sign, too.
fn algorithms(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(key) if RSA_BITS.contains(&bits(key)) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => Vec::new(),
    }
}

/// Returns the length of the modulus, which base64 writes in 6 bits a character.
fn bits(key: &RSAKeyParameters) -> usize {
    key.n.trim_end_matches('=').len() * 6 / 8 * 8
}
