//! Chains of entries, each bound to the one before by its digest, and the check of what a stream
//! holds of them.

mod check;

use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::pb::mesh::audit::v1::Entry;
use crate::pb::mesh::audit::v1::entry::Content;

pub use check::{ChainReport, ChainState, Checker, Finding, Problem, Report};

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The end of a chain that grows.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) writer: String,
    next: u64,
    previous: Option<Digest>,
}

/// Returns the SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

// === impl Chain ===

impl Chain {
    /// Begins the chain of a writer.
    pub(crate) fn new(writer: impl Into<String>) -> Self {
        Self {
            writer: writer.into(),
            next: 0,
            previous: None,
        }
    }

    /// Appends an entry, and returns its bytes.
    pub(crate) fn seal(
        &mut self,
        time: prost_types::Timestamp,
        not_recorded: u64,
        content: Content,
    ) -> Vec<u8> {
        let entry = Entry {
            writer: self.writer.clone(),
            sequence: self.next,
            previous: self.previous.map(Vec::from).unwrap_or_default(),
            time: Some(time),
            not_recorded,
            content: Some(content),
        };
        let sealed = entry.encode_to_vec();
        self.next += 1;
        self.previous = Some(digest(&sealed));
        sealed
    }
}

#[cfg(test)]
mod tests;
