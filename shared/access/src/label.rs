//! The name of a caller in logs.

use std::fmt::Write;

use auth::Identity;
use sha2::{Digest, Sha256};

/// Bytes of a digest that a label shows: enough to tell callers apart.
const DIGEST_BYTES: usize = 8;

/// How logs name a caller. The subject may be a person's name or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The issuer and a digest of the identity, the same in all processes.
    Digest,
    /// The issuer and the subject.
    Subject,
}

// === impl Label ===

impl Label {
    /// Returns the label of a caller.
    pub fn of(self, identity: &Identity) -> String {
        let mut label = format!("{}#", identity.issuer);
        match self {
            Self::Subject => label.push_str(&identity.subject),
            Self::Digest => {
                let digest = Sha256::digest(identity.key());
                for byte in digest.iter().take(DIGEST_BYTES) {
                    // Writing to a String can't fail.
                    let _ = write!(label, "{byte:02x}");
                }
            }
        }
        label
    }
}
