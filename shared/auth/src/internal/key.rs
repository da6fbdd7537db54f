//! Keys of processes: P-256 in PKCS #8, and their public parts as a JWK set (RFC 7517).

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// Characters of a line of PEM (RFC 7468 §2).
const LINE: usize = 64;
/// First byte of a point that is not compressed (SEC 1 §2.3.3), and the length of a coordinate.
const UNCOMPRESSED: u8 = 4;
const COORDINATE: usize = 32;
/// Most keys of one set; a process has two.
const KEYS_MAX: usize = 16;

/// A key, or a set of keys, that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file without a private key.
    #[error("{}: expected a PKCS #8 private key in PEM: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// A key of another kind.
    #[error("expected a private key of the curve P-256, in PKCS #8")]
    Curve,
    /// No randomness.
    #[error("no key can be made: the system has no randomness")]
    Random,
    /// A JWK set that is malformed.
    #[error("not a JWK set of P-256 keys with `kid`: {0}")]
    Set(String),
}

/// A key that signs, with its public part.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) signing: EncodingKey,
    pub(super) public: ProcessKey,
}

/// The public part of a key as a JWK (RFC 7518 §6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessKey {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// The thumbprint of the key (RFC 7638).
    pub(super) kid: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ProcessKeys {
    keys: Vec<ProcessKey>,
}

/// A new key of a process, to be written to its file.
#[derive(Debug)]
pub struct NewKey {
    /// The private key, PKCS #8 in PEM.
    pub pem: String,
}

// === impl NewKey ===

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let der = generate()?;
        let text = STANDARD.encode(der);
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % LINE == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(Self { pem })
    }
}

/// Returns the public parts of private keys in PEM as a JWK set, which others verify with.
///
/// # Errors
/// A key that is not P-256 in PKCS #8.
pub fn key_set<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<String, KeyError> {
    let keys = pems.into_iter().map(|pem| {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| KeyError::Curve)?;
        Ok(SigningKey::from_der(der.secret_pkcs8_der())?.public)
    });
    let keys: Result<Vec<ProcessKey>, KeyError> = keys.collect();
    Ok(encode_set(keys?))
}

/// Writes public keys as a JWK set.
pub(super) fn encode_set(keys: Vec<ProcessKey>) -> String {
    // Strings only: it can't fail.
    serde_json::to_string(&ProcessKeys { keys }).unwrap_or_default()
}

/// Reads the keys of a JWK set, by `kid`.
pub(super) fn decode_set(text: &str) -> Result<Vec<(String, DecodingKey)>, KeyError> {
    let set: ProcessKeys =
        serde_json::from_str(text).map_err(|error| KeyError::Set(error.to_string()))?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeyError::Set(format!("more than {KEYS_MAX} keys")));
    }
    let keys = set.keys.into_iter().map(|key| {
        if key.kty != "EC" || key.crv != "P-256" {
            return Err(KeyError::Set(format!("key `{}`", key.kid)));
        }
        let public = DecodingKey::from_ec_components(&key.x, &key.y);
        let public = public.map_err(|error| KeyError::Set(error.to_string()))?;
        Ok((key.kid, public))
    });
    keys.collect()
}

fn generate() -> Result<Vec<u8>, KeyError> {
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    made.map(|key| key.as_ref().to_vec())
        .map_err(|_| KeyError::Random)
}

// === impl SigningKey ===

impl SigningKey {
    pub(super) fn generate() -> Result<Self, KeyError> {
        Self::from_der(&generate()?)
    }

    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|error| KeyError::File {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        Self::from_der(der.secret_pkcs8_der())
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        let pair = pair.map_err(|_| KeyError::Curve)?;
        Ok(Self {
            signing: EncodingKey::from_ec_der(der),
            public: ProcessKey::of(pair.public_key().as_ref())?,
        })
    }
}

// === impl ProcessKey ===

impl ProcessKey {
    fn of(point: &[u8]) -> Result<Self, KeyError> {
        let (x, y) = match point.split_first() {
            Some((&UNCOMPRESSED, rest)) if rest.len() == 2 * COORDINATE => {
                rest.split_at(COORDINATE)
            }
            _ => return Err(KeyError::Curve),
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // The members in this order, without spaces (RFC 7638 §3).
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
            kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())),
            alg: Some("ES256".to_owned()),
            usage: Some("sig".to_owned()),
        })
    }
}
