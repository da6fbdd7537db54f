//! The credential that a request presents.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::rejection::Rejection;

const BEARER: &str = "bearer";

/// The credential that a request presents.
#[derive(Debug, Clone, Copy)]
pub enum Presented<'a> {
    /// The bearer token of `authorization` (RFC 6750 §2.1).
    Bearer(&'a str),
}

// === impl Presented ===

impl<'a> Presented<'a> {
    /// Finds the credential of a request; `None` if it has none.
    ///
    /// # Errors
    /// More than one credential, or one that is not understood.
    pub fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Rejection> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = all.next() else {
            return Ok(None);
        };
        if all.next().is_some() {
            return Err(Rejection::Ambiguous);
        }
        bearer(value).map(|token| Some(Self::Bearer(token)))
    }
}

/// Returns the token of a bearer credential.
fn bearer(value: &HeaderValue) -> Result<&str, Rejection> {
    let value = value.to_str().map_err(|_| Rejection::Malformed)?;
    let (scheme, token) = value.split_once(' ').ok_or(Rejection::Scheme)?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return Err(Rejection::Scheme);
    }
    match token.trim_matches(' ') {
        "" => Err(Rejection::Malformed),
        token => Ok(token),
    }
}
