//! The three parts of a token in compact serialization (RFC 7515 §3.1), before anything is believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Algorithm;
use crate::rejection::Rejection;

/// The longest accepted token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token whose signature was not checked yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// The algorithm that the token claims.
    pub algorithm: Algorithm,
    /// The name of the key, unique at the issuer.
    pub key_id: Option<String>,
    /// The media type, in lower case and without `application/`.
    pub kind: Option<String>,
    /// The claims, which prove nothing yet.
    pub claims: Map<String, Value>,
    /// The bytes that are signed.
    pub(crate) signed: &'a str,
    /// The signature in base64url.
    pub(crate) signature: &'a str,
}

/// Returns whether a text has the form of a token of three parts.
pub fn looks_like_jwt(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

// === impl Unverified ===

impl<'a> Unverified<'a> {
    /// Reads the parts of a token.
    ///
    /// # Errors
    /// A text that is not a token, an algorithm that no issuer may use, or an extension that
    /// changes the meaning of the token.
    pub fn parse(text: &'a str) -> Result<Self, Rejection> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejection::Malformed)?;
        let header = object(header)?;
        // Whatever the extension is, it was not understood (RFC 7515 §4.1.11).
        if header.contains_key("crit") || header.contains_key("zip") {
            return Err(Rejection::Critical);
        }
        let algorithm = text_of(&header, "alg")?.ok_or(Rejection::Malformed)?;
        let algorithm = Algorithm::named(algorithm).ok_or(Rejection::Algorithm)?;
        let key_id = text_of(&header, "kid")?.map(str::to_owned);
        let kind = text_of(&header, "typ")?.map(str::to_ascii_lowercase);
        let kind = kind.map(|kind| match kind.strip_prefix("application/") {
            Some(short) => short.to_owned(),
            None => kind,
        });
        Ok(Self {
            algorithm,
            key_id,
            kind,
            claims: object(payload)?,
            signed,
            signature,
        })
    }

    /// Returns the issuer that the token claims.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

/// Decodes one part, which is a JSON object. No padding, no other alphabet, no stray bits: a token
/// has one spelling.
fn object(part: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    let bytes = bytes.map_err(|_| Rejection::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Rejection::Malformed)
}

fn text_of<'m>(object: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, Rejection> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::Malformed),
    }
}
