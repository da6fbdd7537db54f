//! Sender constraints: the certificate that a token is bound to (`cnf`, RFC 7800, RFC 8705 §3.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::rejection::Rejection;

/// SHA-256 of the certificate that the sender of a token must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding([u8; 32]);

// === impl Binding ===

impl Binding {
    /// Reads the binding of a token; `None` for one that whoever has it may use.
    ///
    /// # Errors
    /// A binding of another kind, which nobody would check.
    pub(crate) fn of(claims: &Map<String, Value>) -> Result<Option<Self>, Rejection> {
        let Some(confirmation) = claims.get("cnf") else {
            return Ok(None);
        };
        let members = confirmation.as_object().ok_or(Rejection::Claim)?;
        let thumbprint = members.get("x5t#S256").and_then(Value::as_str);
        let Some(thumbprint) = thumbprint.filter(|_| members.len() == 1) else {
            return Err(Rejection::Binding);
        };
        let digest = URL_SAFE_NO_PAD.decode(thumbprint).ok();
        let digest = digest.and_then(|digest| <[u8; 32]>::try_from(digest).ok());
        digest
            .map(|digest| Some(Self(digest)))
            .ok_or(Rejection::Claim)
    }

    /// Checks that the sender has the certificate with this digest.
    pub(crate) fn check(self, certificate: Option<[u8; 32]>) -> Result<(), Rejection> {
        match certificate == Some(self.0) {
            true => Ok(()),
            false => Err(Rejection::Certificate),
        }
    }
}
