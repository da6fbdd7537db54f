//! The stream of a context: declared from the settings, read back, compared.

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType, Stream};
use facts::error::Error;
use facts::subject;

use super::Bus;

/// The role of the process that declares a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes the context's facts, and reports where the stream differs from its settings.
    Owner,
    /// Only reads.
    Reader,
}

/// Creates the stream of `context`, or checks that the existing one keeps the promises of this
/// crate. What an operator has changed stays changed.
pub(crate) async fn declare(bus: &Bus, context: &str, role: Role) -> Result<Stream, Error> {
    let wanted = config(bus, context);
    let stream = bus
        .jetstream
        .get_or_create_stream(wanted.clone())
        .await
        .map_err(|error| Error::jetstream("declaring the stream", error))?;
    // A server silently drops a field that it doesn't know, so the fields we rely on are compared.
    verify(&stream.cached_info().config, &wanted, role)?;
    Ok(stream)
}

/// Returns the name of the stream of `context`.
pub fn name(context: &str) -> String {
    format!("EVT_{}", context.to_uppercase())
}

fn config(bus: &Bus, context: &str) -> Config {
    Config {
        name: name(context),
        subjects: vec![subject::context_filter(context)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        max_age: Duration::from_secs(bus.settings.stream_max_age_s),
        duplicate_window: Duration::from_millis(bus.settings.stream_dedup_window_ms),
        num_replicas: bus.settings.stream_replicas,
        allow_atomic_publish: true,
        // A consumer would miss what is gone without a word.
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    }
}

fn verify(found: &Config, wanted: &Config, role: Role) -> Result<(), Error> {
    let check = Comparison(&wanted.name);
    check.equal("subjects", &found.subjects, &wanted.subjects)?;
    check.equal("retention", &found.retention, &wanted.retention)?;
    check.equal("storage", &found.storage, &wanted.storage)?;
    check.equal(
        "allow_atomic",
        &found.allow_atomic_publish,
        &wanted.allow_atomic_publish,
    )?;
    if role == Role::Owner {
        if !(found.deny_delete && found.deny_purge) {
            tracing::warn!(
                stream = wanted.name,
                "the stream was created without deny_delete and deny_purge"
            );
        }
        let found = (found.max_age, found.duplicate_window, found.num_replicas);
        let wanted_here = (wanted.max_age, wanted.duplicate_window, wanted.num_replicas);
        if found != wanted_here {
            tracing::warn!(
                stream = wanted.name,
                ?found,
                settings = ?wanted_here,
                "the stream keeps its max_age, duplicate_window and replicas, which differ from the settings"
            );
        }
    }
    Ok(())
}

/// Compares the fields of a named stream or consumer.
pub(crate) struct Comparison<'a>(pub(crate) &'a str);

// === impl Comparison ===

impl Comparison<'_> {
    pub(crate) fn equal<T: PartialEq + Debug>(
        &self,
        field: &'static str,
        found: &T,
        wanted: &T,
    ) -> Result<(), Error> {
        if found == wanted {
            return Ok(());
        }
        Err(Error::Mismatch {
            name: self.0.to_owned(),
            field,
            found: format!("{found:?}"),
            expected: format!("{wanted:?}"),
        })
    }
}
