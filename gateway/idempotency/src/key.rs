//! The key of a call, and whose it is.

use std::fmt::Write;
use std::net::IpAddr;

use auth::Identity;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// The header with the key (draft-ietf-httpapi-idempotency-key-header-07).
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key, in bytes.
const MAX_BYTES: usize = 255;

/// Headers by which an upstream may know a caller who has no identity here.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "cookie",
    "x-api-key",
    "grpcgateway-authorization",
    "grpcgateway-cookie",
];

/// A call, as far as it is known by its key.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `/package.Service/Method`.
    pub method: &'a str,
    /// The request message in canonical form.
    pub message: &'a [u8],
    /// The key, if the call has one.
    pub key: Option<&'a str>,
    /// The caller, if a credential has proven who it is.
    pub identity: Option<&'a Identity>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The metadata that the upstream gets.
    pub metadata: &'a HeaderMap,
    /// When the caller no longer waits.
    pub deadline: Option<Instant>,
}

/// A header that holds no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one key of 1 to 255 printable ASCII characters, as a quoted string or bare")]
pub struct Malformed;

/// A digest of what was asked, by which a key that is used again for something else is known.
pub(crate) type Fingerprint = [u8; 32];

/// Returns the key in the headers: a string of structured fields (RFC 8941 §3.3.3), or the bare
/// text that many clients send.
///
/// # Errors
/// The header has no key, more than one, or one that is too long.
pub fn header_key(headers: &HeaderMap) -> Result<Option<String>, Malformed> {
    let mut lines = headers.get_all(HEADER).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Malformed);
    }
    let text = line.to_str().map_err(|_| Malformed)?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest)?,
        None => text.to_owned(),
    };
    let is_bare = !text.starts_with('"');
    let allowed = |c: u8| c.is_ascii_graphic() && (!is_bare || (c != b',' && c != b'"'));
    let is_fit = key.bytes().all(|c| allowed(c) || (c == b' ' && !is_bare));
    match is_fit && (1..=MAX_BYTES).contains(&key.len()) {
        true => Ok(Some(key)),
        false => Err(Malformed),
    }
}

/// Returns a string whose opening quote was read.
fn unquoted(rest: &str) -> Result<String, Malformed> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or(Malformed)? {
            '"' => break,
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(Malformed),
            },
            character => key.push(character),
        }
    }
    match characters.as_str().is_empty() {
        true => Ok(key),
        false => Err(Malformed),
    }
}

impl Request<'_> {
    /// Returns the name of this key of this caller for this method, in the store.
    pub(crate) fn name(&self, key: &str) -> String {
        let mut parts = Parts(Sha256::new());
        parts.add(self.method.as_bytes());
        match self.identity {
            Some(identity) => {
                parts.add(b"identity");
                parts.add(identity.key().as_bytes());
            }
            None => {
                parts.add(b"address");
                let address = self.address.map(|address| address.to_string());
                parts.add(address.unwrap_or_default().as_bytes());
                for name in CREDENTIALS {
                    let values: Vec<_> = self.metadata.get_all(name).iter().collect();
                    parts.add(&[u8::try_from(values.len()).unwrap_or(u8::MAX)]);
                    values.iter().for_each(|value| parts.add(value.as_bytes()));
                }
            }
        }
        parts.add(key.as_bytes());
        let mut name = String::with_capacity(64);
        for byte in parts.0.finalize() {
            // Writing to a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Sha256::digest(self.message).into()
    }
}

/// Parts of a name, each with its length before it, so that no two lists of parts are one text.
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests;
