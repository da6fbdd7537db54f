#![doc = include_str!("../README.md")]

mod authenticator;
mod clock;
mod credentials;
mod fetch;
mod identity;
pub mod internal;
mod issuer;
mod metrics;
mod rejection;
mod settings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;
mod verified;

pub use authenticator::{Authenticator, Lease, Presented};
pub use clock::Clock;
pub use credentials::Certificate;
pub use fetch::basic;
pub use identity::{Credential, Identity};
pub use metrics::Metrics;
pub use rejection::Rejection;
pub use settings::{
    AuthenticationSettings, CertificateRule, CertificateSettings, IntrospectionSettings,
    IssuerSettings, KeySettings, RevocationSettings, TokenType,
};
pub use token::{Algorithm, ClaimPaths, MAX_TOKEN_BYTES, Unverified, looks_like_jwt};
pub use verified::{Revocation, RevocationError, Verified};
