//! The stream of a context: declared from the settings, read back, compared.

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType, Stream};

use super::Bus;
use crate::envelope::subject;
use crate::error::Error;

/// The role of the process that declares a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes the context's facts: its settings rule the stream.
    Owner,
    /// Only reads: creates a missing stream, and accepts the owner's settings of an existing one.
    Reader,
}

/// Creates the stream of `context`, or checks that the existing one keeps the promises of this
/// crate.
pub(crate) async fn declare(bus: &Bus, context: &str, role: Role) -> Result<Stream, Error> {
    let wanted = config(bus, context);
    let stream = match role {
        Role::Owner => {
            bus.jetstream
                .create_or_update_stream(wanted.clone())
                .await
                .map_err(|error| Error::jetstream("declaring the stream", error))?;
            bus.jetstream.get_stream(&wanted.name).await
        }
        .map_err(|error| Error::jetstream("reading the stream back", error))?,
        Role::Reader => bus
            .jetstream
            .get_or_create_stream(wanted.clone())
            .await
            .map_err(|error| Error::jetstream("declaring the stream", error))?,
    };
    // A server silently drops a field that it doesn't know, so the fields we rely on are compared.
    verify(&stream.cached_info().config, &wanted, role)?;
    Ok(stream)
}

/// Returns the name of the stream of `context`.
pub(crate) fn name(context: &str) -> String {
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
        check.equal("max_age", &found.max_age, &wanted.max_age)?;
        check.equal(
            "duplicate_window",
            &found.duplicate_window,
            &wanted.duplicate_window,
        )?;
        check.equal("num_replicas", &found.num_replicas, &wanted.num_replicas)?;
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
