//! The connection of a process to NATS and to its own database, which relay and consumers use.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr, Subscriber};
use bytes::Bytes;
use facts::envelope::MAX_PAYLOAD_BYTES;
use facts::error::Error;
use facts::settings::Settings;
use facts::subject;
use rpc::backoff::Backoff;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::Instant;

use metrics::Metrics;

pub(crate) mod metrics;
pub(crate) mod stream;

/// Oldest NATS server: earlier ones silently ignore atomic batches, or don't recognise repeats in
/// them (ADR-50).
const NEEDED_VERSION: (i64, i64, i64) = (2, 12, 1);
const NEEDED_VERSION_TEXT: &str = "2.12.1";

/// Most bytes of a fact's headers: three times the longest key, a type name, about 400 bytes of
/// fixed text.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Timeout of a request to JetStream; its outcome is unknown then, and it is repeated.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between attempts to connect.
pub(crate) const RECONNECT: Backoff =
    Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(2));

/// A connection to NATS together with the database that holds this process's outbox and inbox.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) pool: PgPool,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Metrics,
    pub(crate) wake: Arc<Notify>,
    /// The core subject by which processes on the same database wake the relay.
    wake_subject: String,
}

/// Connects, and checks that the server is version 2.12.1 or newer, with JetStream.
///
/// Retries until `connect_timeout_ms` has passed. Later, a lost connection is restored in the
/// background.
pub async fn connect(settings: &Settings, pool: PgPool) -> Result<Bus, Error> {
    settings.check()?;
    let client = dial(settings).await?;
    check_server(&client)?;
    let jetstream = ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .build(client.clone());
    jetstream
        .query_account()
        .await
        .map_err(|error| Error::NoJetStream(error.into()))?;
    let database = pool.connect_options().get_database().map(str::to_owned);
    Ok(Bus {
        client,
        jetstream,
        wake_subject: subject::wake(&database.unwrap_or_default()),
        pool,
        settings: Arc::new(settings.clone()),
        metrics: Metrics::default(),
        wake: Arc::new(Notify::new()),
    })
}

// === impl Bus ===

impl Bus {
    /// Returns the settings that it was connected with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the connection, for what is no fact.
    pub fn broker(&self) -> &Client {
        &self.client
    }

    /// Wakes the relay of the database before its next poll, in whatever process it runs. To be
    /// called after a commit; one call too few costs the facts a pause of the relay.
    pub async fn wake(&self) {
        chassis::crash::point("events.outbox.committed");
        self.wake.notify_one();
        let told = self.client.publish(self.wake_subject.clone(), Bytes::new());
        if let Err(error) = told.await {
            tracing::debug!(%error, "other processes not woken");
        }
    }

    /// Subscribes to the calls of [`Bus::wake`] of all processes on this database.
    pub(crate) async fn wakes(&self) -> Result<Subscriber, Error> {
        let subscribed = self.client.subscribe(self.wake_subject.clone()).await;
        subscribed.map_err(|error| Error::jetstream("subscribing to wake-ups", error))
    }
}

async fn dial(settings: &Settings) -> Result<Client, Error> {
    let deadline = Instant::now() + Duration::from_millis(settings.connect_timeout_ms);
    let mut failures = 0;
    loop {
        let error: ConnectError = match options(&settings.nats_url)
            .connect(&settings.nats_url)
            .await
        {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        failures += 1;
        let pause = RECONNECT.pause(failures);
        if Instant::now() + pause > deadline {
            return Err(Error::Connect {
                url: without_password(&settings.nats_url),
                source: error,
            });
        }
        let url = without_password(&settings.nats_url);
        tracing::warn!(%error, url, "nats not reachable, trying again");
        tokio::time::sleep(pause).await;
    }
}

fn options(url: &str) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name("protomesh-events")
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(|attempts| {
            RECONNECT.pause(u32::try_from(attempts).unwrap_or(u32::MAX))
        });
    // The client itself ignores them.
    match url.parse::<ServerAddr>() {
        Ok(address) => match (address.username(), address.password()) {
            (Some(user), Some(password)) => options.user_and_password(user.into(), password.into()),
            _ => options,
        },
        Err(_) => options,
    }
}

/// Returns a URL for logs and errors: `nats://user:password@host` without user and password.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

fn check_server(client: &Client) -> Result<(), Error> {
    let (major, minor, patch) = NEEDED_VERSION;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(Error::ServerTooOld {
            found: client.server_info().version,
            needed: NEEDED_VERSION_TEXT,
        });
    }
    let needed = MAX_PAYLOAD_BYTES + MAX_HEADER_BYTES;
    if client.max_payload() < needed {
        return Err(Error::MaxPayload {
            found: client.max_payload(),
            needed,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_password() {
        for (url, shown) in [
            (
                "nats://orders:secret@127.0.0.1:4222",
                "nats://127.0.0.1:4222",
            ),
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("127.0.0.1:4222", "127.0.0.1:4222"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
