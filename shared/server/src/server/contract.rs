//! The contract of a side of a process: its descriptors and its methods.

use std::collections::HashSet;

use contract::{Method, MethodKind};

/// The contract of a side of a process.
pub(super) struct Contract {
    pub(super) descriptor_set: Vec<u8>,
    pub(super) methods: &'static [Method],
}

// === impl Contract ===

impl Contract {
    pub(super) fn new(descriptor_set: &[u8], methods: &'static [Method]) -> Self {
        Self {
            descriptor_set: descriptor_set.to_vec(),
            methods,
        }
    }

    /// Returns the paths of the methods whose request is one message.
    pub(super) fn single(&self) -> HashSet<&'static str> {
        let is_single = |kind| matches!(kind, MethodKind::Unary | MethodKind::ServerStreaming);
        let single = self.methods.iter().filter(|method| is_single(method.kind));
        single.map(|method| method.path).collect()
    }
}
