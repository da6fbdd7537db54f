//! Wires events into a process: connection, relay and consumers as background tasks.

use chassis::Process;
use facts::error::Error;
use facts::settings::Settings;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, connect};
use crate::consumer::Consumer;
use crate::{delivery, relay};

/// Connects to NATS, and runs the relay of the process's outbox and its `consumers` until the
/// process shuts down.
///
/// The database has applied [`MIGRATIONS`](crate::outbox::MIGRATIONS).
///
/// # Errors
/// See [`connect`]. A permanent error of relay or consumer stops the process.
pub async fn serve(
    process: &Process,
    settings: &Settings,
    pool: PgPool,
    consumers: impl IntoIterator<Item = Consumer>,
) -> Result<Bus, Error> {
    let bus = connect(settings, pool).await?;
    let metrics = bus.metrics.clone();
    process
        .metrics()
        .extend(move |encoder| metrics.write(encoder));
    let (counted, shutdown) = (bus.clone(), process.shutdown());
    process.spawn("events metrics", async move {
        counted.metrics.sample(&counted.pool, &shutdown).await
    });
    let (relay, shutdown) = (bus.clone(), process.shutdown());
    process.spawn("relay", async move { relay.run_relay(shutdown).await });
    for consumer in consumers {
        let (bus, shutdown) = (bus.clone(), process.shutdown());
        process.spawn("consumer", async move {
            bus.run_consumer(consumer, shutdown).await
        });
    }
    Ok(bus)
}

// === impl Bus ===

impl Bus {
    /// Publishes the outbox until `shutdown`; returns permanent errors only.
    ///
    /// One relay owns the outbox of a database at a time, by a lease; others stand by and take over
    /// when it ends.
    pub async fn run_relay(&self, shutdown: CancellationToken) -> Result<(), Error> {
        relay::run(self, &shutdown).await
    }

    /// Runs `consumer` until `shutdown`; returns permanent errors only.
    ///
    /// Waits for running handlers to end.
    pub async fn run_consumer(
        &self,
        consumer: Consumer,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        delivery::run(self, consumer, &shutdown).await
    }
}
