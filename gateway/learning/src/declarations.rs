//! The types that descriptor files declare, whether a service imports them or not.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::encoded::{Declared, copies, descriptor_set, stand_in};

/// Imports from here need not be in a set: every compiler has them.
pub(crate) const LANGUAGE_FILES: &str = "google/protobuf/";

/// All files of the descriptor sets of an upstream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    /// Encoded `google.protobuf.FileDescriptorProto` by name.
    files: BTreeMap<String, Bytes>,
    /// The file that declares each name at its top.
    owners: BTreeMap<String, String>,
}

// === impl Declarations ===

impl Declarations {
    pub(crate) fn new(files: BTreeMap<String, Bytes>) -> Self {
        let declared = files.iter().map(|(name, raw)| (name, Declared::of(raw)));
        let owners = declared.flat_map(|(name, declared)| {
            let symbols = declared.symbols.into_iter();
            symbols.map(move |symbol| (symbol, name.clone()))
        });
        let owners = owners.collect();
        Self { files, owners }
    }

    /// Returns the encoded `google.protobuf.FileDescriptorSet` of the file that declares a type,
    /// and of what it imports; `None` where no file does so or these exceed `max_bytes`.
    pub(crate) fn set_of(&self, name: &str, max_bytes: usize) -> Option<Vec<u8>> {
        let mut symbol = name;
        let file = loop {
            match self.owners.get(symbol) {
                Some(file) => break file,
                // A message within a message.
                None => symbol = symbol.rsplit_once('.')?.0,
            }
        };
        let (mut found, mut bytes) = (BTreeMap::new(), 0);
        let mut pending = vec![file.clone()];
        while let Some(name) = pending.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let raw = match self.files.get(&name) {
                Some(raw) => raw.clone(),
                None if name.starts_with(LANGUAGE_FILES) => continue,
                None => stand_in(&name, None),
            };
            bytes += raw.len();
            if bytes > max_bytes {
                return None;
            }
            pending.extend(Declared::of(&raw).imports);
            found.insert(name, raw);
        }
        Some(set(found))
    }
}

/// Returns the set of files in which some may be copies of others.
pub(crate) fn set(mut files: BTreeMap<String, Bytes>) -> Vec<u8> {
    let copies = copies(&files);
    files.extend(copies);
    descriptor_set(files.values())
}
