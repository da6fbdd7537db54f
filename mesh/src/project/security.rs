//! The proofs that processes ask of each other.

use anyhow::{Result, ensure};
use serde::Deserialize;

/// The proofs that processes ask of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Whether calls carry the identity of their caller, and services refuse those without.
    pub identity: bool,
    /// Whether services are called over TLS, with certificates of both sides.
    pub tls: bool,
    /// Whether services enforce the contract's rules of access; needs `identity`, and a gateway
    /// that authenticates.
    pub access: bool,
    /// Whether the gateway asks callers for tokens of the project's issuer.
    pub authentication: bool,
}

// === impl Security ===

impl Security {
    /// Checks that what one needs is there.
    pub(super) fn check(self, has_issuer: bool) -> Result<()> {
        ensure!(
            has_issuer || !self.authentication,
            "security.authentication: expected `[issuer]` beside it, the service that makes tokens"
        );
        ensure!(
            self.identity || !self.access,
            "security.access: expected `identity = true` beside it, for the identities that it judges"
        );
        Ok(())
    }
}
