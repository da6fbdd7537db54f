//! JSON Web Tokens: the parts of one, its signature, and the claims that become an identity.

mod algorithm;
mod binding;
mod claims;
mod jwks;
mod parse;

pub use algorithm::Algorithm;
pub(crate) use binding::Binding;
pub use claims::ClaimPaths;
pub(crate) use claims::{Claims, Expectation};
pub(crate) use jwks::KeySet;
pub use parse::{MAX_TOKEN_BYTES, Unverified, looks_like_jwt};
