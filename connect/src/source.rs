//! A source that is compiled: its format, its mapping, and the method that gets its records.

mod compile;
mod json;
mod message;
mod request;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use chassis::client::{Safety, Upstream};
use chassis::config::ConfigError;
use formats::{Reader, Record, Refusal};
use mapping::{Mapping, Unmapped};
use transcoder::Schema;

use crate::settings::SourceSettings;
use crate::store::Held;
use crate::target::Targets;

pub(crate) use json::{decoded, encoded};
pub(crate) use message::Message;
use request::Request;

/// Bytes of one message: a request with it has to be smaller than what servers accept, 4 MiB.
const MAX_MESSAGE_BYTES: usize = 3 * 1024 * 1024;

/// The rule of larger ones.
const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";

/// A source.
#[derive(Debug)]
pub(crate) struct Source {
    settings: SourceSettings,
    upstream: Upstream,
    schema: Arc<Schema>,
    /// `/package.Service/Method`.
    path: String,
    safety: Safety,
    /// The message of a record: a part of the request, or all of it.
    message: String,
    mapping: Mapping,
    request: Option<Request>,
    /// Numbers and names of the fields that the mapping sets, for the count of those with a value.
    fields: Vec<(u32, String)>,
}

/// Where records come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// Name of the source.
    pub(crate) source: &'a str,
    /// Identity of the unit.
    pub(crate) unit: &'a str,
}

/// All sources of the process.
#[derive(Debug)]
pub(crate) struct Sources {
    by_name: BTreeMap<String, Arc<Source>>,
}

// === impl Sources ===

impl Sources {
    /// Compiles the declared sources.
    ///
    /// # Errors
    /// The key that is wrong, with its file.
    pub(crate) fn compile(
        declared: Vec<SourceSettings>,
        targets: &Targets,
    ) -> Result<Self, ConfigError> {
        let mut by_name = BTreeMap::new();
        for settings in declared {
            let target = targets.of(&settings.into.method);
            let target = target.map_err(|problem| settings.error("into.method", problem))?;
            let (upstream, schema) = (target.upstream.clone(), target.schema.clone());
            let source = Source::compile(settings, upstream, schema)?;
            by_name.insert(source.settings.name.clone(), Arc::new(source));
        }
        Ok(Self { by_name })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Source>> {
        self.by_name.get(name)
    }

    /// Returns all sources by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.by_name.values()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }
}

// === impl Source ===

impl Source {
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn settings(&self) -> &SourceSettings {
        &self.settings
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn safety(&self) -> Safety {
        self.safety
    }

    pub(crate) fn mapping_version(&self) -> &str {
        self.mapping.version()
    }

    /// Returns whether one call has many records.
    pub(crate) fn is_batched(&self) -> bool {
        self.request.is_some()
    }

    /// Returns the records of one call; `None` for a call per record.
    pub(crate) fn batch_size(&self) -> Option<usize> {
        self.settings.into.batch.as_ref().map(|batch| batch.size)
    }

    /// Returns the field of the request that holds the records.
    pub(crate) fn batch_field(&self) -> Option<&str> {
        let batch = self.settings.into.batch.as_ref()?;
        Some(&batch.field)
    }

    /// Returns whether requests say that no record follows: then one has to say it, even if the
    /// last records are in quarantine.
    pub(crate) fn tells_end(&self) -> bool {
        self.request.as_ref().is_some_and(Request::tells_end)
    }

    /// Opens a unit.
    ///
    /// # Errors
    /// Nothing of it can be read.
    pub(crate) fn open(&self, file: File) -> Result<Reader, Refusal> {
        let reader = self.settings.format.open(file)?;
        Ok(reader.requiring(self.mapping.columns()))
    }

    /// Maps a record to a valid message.
    ///
    /// # Errors
    /// The record as it goes into quarantine.
    pub(crate) fn map(&self, origin: &Origin<'_>, record: Record) -> Result<Message, Box<Held>> {
        let id = format!("{}/{}", origin.unit, record.number);
        let of = mapping::Origin {
            source: origin.source,
            unit: origin.unit,
            id: &id,
        };
        let wire = match self.mapping.map(&record, &of) {
            Ok(wire) if wire.len() <= MAX_MESSAGE_BYTES => wire,
            Ok(wire) => {
                let value = format!("{} bytes", wire.len());
                let rule = MESSAGE_TOO_LARGE.to_owned();
                return Err(Box::new(message::held(&record, String::new(), rule, value)));
            }
            Err(unmapped) => {
                let Unmapped {
                    field,
                    column,
                    rule,
                    value,
                } = unmapped;
                let column = column.unwrap_or(field);
                return Err(Box::new(message::held(&record, column, rule, value)));
            }
        };
        Ok(Message { record, wire })
    }

    /// Encodes the request for these records. `ends` says that no record of the unit follows.
    ///
    /// # Errors
    /// An expression of the request has no result.
    pub(crate) fn request(
        &self,
        origin: &Origin<'_>,
        messages: &[&Message],
        ends: bool,
    ) -> Result<Bytes, Unmapped> {
        match &self.request {
            Some(request) => request.encode(origin, messages, ends),
            None => {
                let message = messages.first().map(|message| message.wire.clone());
                Ok(message.unwrap_or_default().into())
            }
        }
    }

    /// Returns a message as JSON, for people.
    pub(crate) fn json(&self, message: &Message) -> String {
        let mut out = Vec::new();
        match self
            .schema
            .write_json(&self.message, &message.wire, &mut out)
        {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Counts the messages in which each field of the mapping has a value.
    pub(crate) fn completeness<'s>(
        &'s self,
        messages: &[Message],
    ) -> impl Iterator<Item = (&'s str, u64)> {
        let mut counts = vec![0; self.fields.len()];
        for message in messages {
            message.count(&self.fields, &mut counts);
        }
        let names = self.fields.iter().map(|(_, name)| name.as_str());
        names.zip(counts)
    }
}
