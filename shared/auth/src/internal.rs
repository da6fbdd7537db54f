//! Identity from process to process: a signed token of a minute by which a process tells another
//! who calls, bound to the one method that is called.

mod bounded;
mod claims;
mod current;
mod key;
mod signer;
mod verifier;

#[cfg(test)]
mod tests;

pub use current::{current, scope, sign_with, signer, sync_scope};
pub use key::{KeyError, NewKey, key_set};
pub use signer::Signer;
pub use verifier::{Called, Distrust, TrustedKeys, Verifier};
