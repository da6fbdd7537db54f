//! Decisions about clients, secrets, tokens and keys; no I/O.

mod client;
mod configured;
mod form;
mod key;
mod refusal;
mod revocation;
mod secret;
mod token;

pub use client::{ApiKey, Client, INTROSPECT, Rights, check_roles};
pub use configured::{Configured, ConfiguredClient};
pub use form::{ClientCredentials, Form};
pub use key::{Rotation, SigningKey, StoredKey};
pub use refusal::Refusal;
pub use revocation::{Revocation, Revoked};
pub use secret::{Digest, NewSecret, RandomError, key_id_of};
pub use token::{Claims, Issuer, Token};
