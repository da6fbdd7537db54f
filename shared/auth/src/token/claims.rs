//! Claims of a token (RFC 7519 §4): what they must say, and the identity that they make.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::identity::{Credential, Identity, is_of_processes};
use crate::rejection::Rejection;

/// The last second that a time may have: the end of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims that an identity is made of. A path that begins with `/` is a JSON Pointer (RFC
/// 6901), any other is the name of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPaths {
    /// The claim that is the subject.
    pub subject: String,
    /// The claim that is the tenant; empty for none.
    pub tenant: String,
    /// The claims with roles: texts, or lists of texts.
    pub roles: Vec<String>,
    /// The claims with scopes: texts separated by spaces, or lists of texts.
    pub scopes: Vec<String>,
}

/// Claims whose signature, or whose source, was verified.
pub(crate) struct Claims<'a>(pub(crate) &'a Map<String, Value>);

/// The expected time and audience of a token.
pub(crate) struct Expectation<'a> {
    pub(crate) now: SystemTime,
    pub(crate) skew: Duration,
    pub(crate) audiences: &'a [String],
}

/// Returns the value at a path.
fn at<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let Some(pointer) = path.strip_prefix('/') else {
        return claims.get(path);
    };
    let (first, rest) = match pointer.find('/') {
        Some(end) => pointer.split_at(end),
        None => (pointer, ""),
    };
    let first = first.replace("~1", "/").replace("~0", "~");
    claims.get(&first)?.pointer(rest)
}

/// Returns the text at a path.
fn text_at<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v str> {
    at(claims, path).and_then(Value::as_str)
}

// === impl Claims ===

impl<'a> Claims<'a> {
    /// Checks expiry, not-before, time of issue and audience, and returns the expiry.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn check(&self, expected: &Expectation<'_>) -> Result<SystemTime, Rejection> {
        let expires = self.time("exp")?.ok_or(Rejection::Claim)?;
        if expected.now >= expires + expected.skew {
            return Err(Rejection::Expired);
        }
        let earliest = expected.now + expected.skew;
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|time| time > earliest) {
                return Err(Rejection::NotYetValid);
            }
        }
        match self.is_for(expected.audiences) {
            true => Ok(expires),
            false => Err(Rejection::Audience),
        }
    }

    /// Checks what the answer of an introspection says beside `active`; all of it is optional (RFC
    /// 7662 §2.2). Returns the expiry, if there is one.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn check_introspected(
        &self,
        expected: &Expectation<'_>,
    ) -> Result<Option<SystemTime>, Rejection> {
        let expires = self.time("exp")?;
        if expires.is_some_and(|expires| expected.now >= expires + expected.skew) {
            return Err(Rejection::Expired);
        }
        let earliest = expected.now + expected.skew;
        if self.time("nbf")?.is_some_and(|time| time > earliest) {
            return Err(Rejection::NotYetValid);
        }
        let has_audience = self.0.contains_key("aud") && !expected.audiences.is_empty();
        match has_audience && !self.is_for(expected.audiences) {
            true => Err(Rejection::Audience),
            false => Ok(expires),
        }
    }

    /// Returns the time of a claim (NumericDate, RFC 7519 §2).
    ///
    /// # Errors
    /// A value that is not a time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<SystemTime>, Rejection> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_f64().filter(|it| (0.0..=LAST_SECOND).contains(it));
        let seconds = seconds.ok_or(Rejection::Claim)?;
        Ok(Some(
            SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds),
        ))
    }

    fn is_for(&self, audiences: &[String]) -> bool {
        let accepts = |value: &Value| {
            let named = value.as_str();
            named.is_some_and(|named| audiences.iter().any(|audience| audience == named))
        };
        match self.0.get("aud") {
            Some(Value::Array(all)) => all.iter().any(accepts),
            Some(one) => accepts(one),
            None => false,
        }
    }

    /// Makes the identity of a token.
    ///
    /// # Errors
    /// No subject, or claims of another type than configured.
    pub(crate) fn identity(
        &self,
        issuer: &str,
        paths: &ClaimPaths,
        expires: Option<SystemTime>,
    ) -> Result<Identity, Rejection> {
        let subject = text_at(self.0, &paths.subject).filter(|subject| !subject.is_empty());
        let tenant = match paths.tenant.as_str() {
            "" => None,
            path => match at(self.0, path) {
                None => None,
                // A caller of a tenant that can't be read is not one without a tenant.
                Some(value) => Some(value.as_str().ok_or(Rejection::Claim)?.to_owned()),
            },
        };
        let mut roles = BTreeSet::new();
        for path in &paths.roles {
            collect(at(self.0, path), false, &mut roles)?;
        }
        // An issuer could make them up: only the mesh says who is a process of it.
        roles.retain(|role| !is_of_processes(role));
        let mut scopes = BTreeSet::new();
        for path in &paths.scopes {
            collect(at(self.0, path), true, &mut scopes)?;
        }
        Ok(Identity {
            issuer: issuer.to_owned(),
            subject: subject.ok_or(Rejection::Claim)?.to_owned(),
            tenant,
            roles,
            scopes,
            credential: Credential::Token,
            credential_id: text_at(self.0, "jti").map(str::to_owned),
            expires,
        })
    }
}

/// Adds the names in a claim.
fn collect(
    value: Option<&Value>,
    splits: bool,
    names: &mut BTreeSet<String>,
) -> Result<(), Rejection> {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if splits => {
            names.extend(text.split_ascii_whitespace().map(str::to_owned));
        }
        Some(Value::String(text)) => names.extend([text.clone()]),
        Some(Value::Array(all)) => {
            for one in all {
                names.insert(one.as_str().ok_or(Rejection::Claim)?.to_owned());
            }
        }
        Some(_) => return Err(Rejection::Claim),
    }
    Ok(())
}
