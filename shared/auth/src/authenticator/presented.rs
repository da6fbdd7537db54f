//! The credential that a request presents.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::credentials::Certificate;
use crate::identity::Credential;
use crate::rejection::Rejection;
use crate::token::MAX_TOKEN_BYTES;
use crate::verified::Digest;

const BEARER: &str = "bearer";

/// The credential that a request presents, and the certificate of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub(crate) kind: Credential,
    /// The token or key; empty for a certificate.
    pub(crate) text: &'a str,
    pub(crate) digest: Digest,
    pub(crate) certificate: Option<Certificate<'a>>,
}

// === impl Presented ===

impl<'a> Presented<'a> {
    /// Finds the credential of a request: its bearer token (RFC 6750 §2.1), its API key, else the
    /// certificate of its connection. `None` if it has none.
    ///
    /// # Errors
    /// More than one credential in headers, or one that is not understood.
    pub fn of(
        headers: &'a HeaderMap,
        key_header: Option<&HeaderName>,
        certificate: Option<Certificate<'a>>,
    ) -> Result<Option<Self>, Rejection> {
        let token = only(headers, &AUTHORIZATION)?.map(bearer).transpose()?;
        let key = key_header.map(|name| only(headers, name)).transpose()?;
        let key = key.flatten().map(text).transpose()?;
        let (kind, text) = match (token, key) {
            (Some(_), Some(_)) => return Err(Rejection::Ambiguous),
            (Some(token), None) => (Credential::Token, token),
            (None, Some(key)) => (Credential::Key, key),
            (None, None) => return Ok(certificate.map(Self::by_certificate)),
        };
        if text.is_empty() || text.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::Malformed);
        }
        Ok(Some(Self {
            kind,
            text,
            digest: Digest::of(text.as_bytes()),
            certificate,
        }))
    }

    fn by_certificate(certificate: Certificate<'a>) -> Self {
        Self {
            kind: Credential::Certificate,
            text: "",
            digest: Digest::of(certificate.der),
            certificate: Some(certificate),
        }
    }
}

/// Returns the only value of a header.
fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Rejection> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    match all.next() {
        None => Ok(first),
        Some(_) => Err(Rejection::Ambiguous),
    }
}

fn text(value: &HeaderValue) -> Result<&str, Rejection> {
    value.to_str().map_err(|_| Rejection::Malformed)
}

/// Returns the token of a bearer credential.
fn bearer(value: &HeaderValue) -> Result<&str, Rejection> {
    let (scheme, token) = text(value)?.split_once(' ').ok_or(Rejection::Scheme)?;
    match scheme.eq_ignore_ascii_case(BEARER) {
        true => Ok(token.trim_matches(' ')),
        false => Err(Rejection::Scheme),
    }
}
