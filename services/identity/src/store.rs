//! The database of identity: one function is one transaction.

mod api_keys;
mod clients;
mod revocations;
mod signing_keys;

pub use api_keys::{api_key, api_keys, create_api_key, revoke_api_key, rotate_api_key};
pub use clients::{KnownClient, client, clients, create_client, disable_client, rotate_secret};
pub use revocations::{Validity, forget_expired, is_revoked, revocation_list, revocations, revoke};
pub use signing_keys::{add_signing_key, drop_signing_keys, signing_keys};
