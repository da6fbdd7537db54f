//! The durable pull consumer in JetStream: declared, read back, compared, opened.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer as Handle, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use facts::error::Error;
use facts::subject;

use crate::bus::Bus;
use crate::bus::stream::{self, Comparison, Role};
use crate::consumer::Consumer;

use super::coverage::{self, Look};
use super::reread::Range;

/// Heartbeat of a pull: one that the server forgot (leader change, restart) is noticed after two of
/// them.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(2);

/// How long one pull stays open; must be more than twice the heartbeat.
const PULL_EXPIRES: Duration = Duration::from_secs(30);

/// Creates a missing stream or consumer, records what has left the stream, and starts to pull;
/// returns also what the database has forgotten.
pub(super) async fn open(
    bus: &Bus,
    consumer: &Consumer,
) -> Result<(pull::Stream, Option<Range>), Error> {
    let (stream, handle) = declare(bus, consumer).await?;
    let mut look = Look::new(stream.cached_info(), handle.cached_info());
    let forgotten = coverage::forgotten(&bus.pool, &consumer.name, &look).await?;
    if forgotten.is_some() {
        look = look.rereading();
    }
    coverage::record(&bus.pool, &consumer.name, &look, &bus.settings).await?;
    let messages = handle
        .stream()
        .max_messages_per_batch(bus.settings.consumer_max_ack_pending.into())
        .heartbeat(IDLE_HEARTBEAT)
        .expires(PULL_EXPIRES)
        .messages()
        .await
        .map_err(|error| Error::jetstream("pulling", error))?;
    Ok((messages, forgotten))
}

async fn declare(bus: &Bus, consumer: &Consumer) -> Result<(Stream, Handle<pull::Config>), Error> {
    let stream = stream::declare(bus, &consumer.context, Role::Reader).await?;
    let wanted = config(bus, consumer);
    let check = Comparison(&consumer.name);
    // The inbox's watermarks belong to one kind of aggregate: only that may not change.
    if let Ok(existing) = stream.consumer_info(consumer.durable_name()).await {
        check.equal(
            "filter_subject",
            &existing.config.filter_subject,
            &wanted.filter_subject,
        )?;
    }
    let handle = stream
        .create_consumer(wanted.clone())
        .await
        .map_err(|error| Error::jetstream("declaring the consumer", error))?;
    let found = &handle.cached_info().config;
    check.equal(
        "filter_subject",
        &found.filter_subject,
        &wanted.filter_subject,
    )?;
    check.equal("ack_policy", &found.ack_policy, &wanted.ack_policy)?;
    check.equal("ack_wait", &found.ack_wait, &wanted.ack_wait)?;
    check.equal("max_deliver", &found.max_deliver, &wanted.max_deliver)?;
    check.equal(
        "max_ack_pending",
        &found.max_ack_pending,
        &wanted.max_ack_pending,
    )?;
    // The server's backoff would interfere with the delayed NAKs.
    check.equal("backoff", &found.backoff, &wanted.backoff)?;
    Ok((stream, handle))
}

fn config(bus: &Bus, consumer: &Consumer) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer.durable_name()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: bus.settings.ack_wait(),
        // The client limits attempts, because it can park the key.
        max_deliver: -1,
        filter_subject: subject::filter(&consumer.context, &consumer.aggregate),
        max_ack_pending: bus.settings.consumer_max_ack_pending.into(),
        ..pull::Config::default()
    }
}
