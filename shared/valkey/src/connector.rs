//! Connects in the background, whenever there is no connection.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rpc::backoff::Backoff;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::link::Slot;

/// Pauses between attempts.
const ATTEMPTS: Backoff =
    Backoff::equal_jitter(Duration::from_millis(20), Duration::from_millis(1000));

/// The background task of a connection.
#[derive(Debug)]
pub struct Connector {
    pub(crate) client: Client,
    pub(crate) slot: Arc<Slot>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

// === impl Connector ===

impl Connector {
    /// Connects, and connects again after each loss, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                self.connect().await;
                self.slot.lost().await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    async fn connect(&self) {
        let mut failures = 0;
        loop {
            match self.attempt().await {
                Ok(connection) => {
                    tracing::info!("store available");
                    return self.slot.put(connection);
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(error, "store not available");
                    }
                    failures += 1;
                    sleep(ATTEMPTS.pause(failures)).await;
                }
            }
        }
    }

    /// A server is available once it answers a PING in time: one that reads its data, or is slow,
    /// would not help.
    async fn attempt(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        // Authentication is not part of the library's timeout.
        let connected = timeout(self.connect_timeout, connecting).await;
        let connected = connected.map_err(|_| "no connection in time".to_owned())?;
        let mut connection = connected.map_err(|error| error.to_string())?;
        let mut ping = redis::cmd("PING");
        ping.set_no_response(false);
        let answer = timeout(
            self.response_timeout,
            ping.query_async::<()>(&mut connection),
        );
        let answer = answer.await.map_err(|_| "no answer in time".to_owned())?;
        answer.map_err(|error| error.to_string())?;
        Ok(connection)
    }
}
