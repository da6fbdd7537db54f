//! The files that reflection has told so far.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::{Asker, Error, MAX_IMPORTS};
use crate::declarations::LANGUAGE_FILES;
use crate::encoded::{qualified, stand_in};

/// The files got so far and what they need.
pub(super) struct Files {
    pub(super) raw: BTreeMap<String, Bytes>,
    /// All imports.
    imports: BTreeSet<String>,
    /// The imports that are not asked for yet.
    pending: Vec<String>,
    services: BTreeSet<String>,
    bytes: usize,
    max_bytes: usize,
}

impl Files {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            raw: BTreeMap::new(),
            imports: BTreeSet::new(),
            pending: Vec::new(),
            services: BTreeSet::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Asks for the imports that are missing.
    pub(super) async fn complete(&mut self, asker: &mut Asker<'_>) {
        while let Some(name) = self.missing() {
            let by_name = MessageRequest::FileByFilename(name.clone());
            let answer = asker.ask(by_name, &name).await;
            self.answer(name, answer.unwrap_or_default());
        }
    }

    /// Takes the files of an answer; a server may send one file or a file with its dependencies,
    /// and may repeat itself. Returns the reason why some can't be used.
    pub(super) fn add(&mut self, files: Vec<Vec<u8>>) -> Option<String> {
        let mut refusal = None;
        for raw in files {
            let file = match FileDescriptorProto::decode(raw.as_slice()) {
                Ok(file) => file,
                Err(error) => {
                    refusal = Some(Error::Malformed(error).to_string());
                    continue;
                }
            };
            if self.raw.contains_key(file.name()) {
                continue;
            }
            let imports = self.imports.len() + file.dependency.len();
            if self.bytes + raw.len() > self.max_bytes || imports > MAX_IMPORTS {
                refusal = Some(Error::TooLarge(self.max_bytes).to_string());
                continue;
            }
            self.bytes += raw.len();
            let services = file.service.iter();
            self.services
                .extend(services.map(|own| qualified(file.package(), own.name())));
            let name = file.name().to_owned();
            for import in file.dependency {
                if self.imports.insert(import.clone()) {
                    self.pending.push(import);
                }
            }
            self.raw.insert(name, Bytes::from(raw));
        }
        refusal
    }

    /// Takes the answer for a file name. A file of another name stands for the one that was asked
    /// for; without any, the name stays unknown.
    fn answer(&mut self, name: String, found: Vec<Vec<u8>>) {
        let meant = found.first().cloned();
        self.add(found);
        let meant = meant.and_then(|raw| FileDescriptorProto::decode(raw.as_slice()).ok());
        if let Some(meant) = meant.filter(|meant| !meant.name().is_empty()) {
            let raw = || stand_in(&name, Some(meant.name()));
            self.raw.entry(name.clone()).or_insert_with(raw);
        }
    }

    pub(super) fn declares(&self, service: &str) -> bool {
        self.services.contains(service)
    }

    /// Stands in for the imports that nobody has.
    pub(super) fn fill(&mut self) {
        for import in &self.imports {
            let empty = || stand_in(import, None);
            if !import.starts_with(LANGUAGE_FILES) {
                self.raw.entry(import.clone()).or_insert_with(empty);
            }
        }
    }

    /// Returns an import that is neither there nor asked for.
    fn missing(&mut self) -> Option<String> {
        let mut pending = std::iter::from_fn(|| self.pending.pop());
        pending.find(|name| !self.raw.contains_key(name))
    }
}
