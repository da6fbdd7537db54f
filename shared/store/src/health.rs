//! Probes the database continuously and publishes whether it answers.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Pause between two probes. With [`PROBE_TIMEOUT`] it keeps the promise that an outage is noticed
/// within 2 s.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a probe waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_250);

/// Whether the database answers; clones follow the same probe.
#[derive(Clone, Debug)]
pub(crate) struct Health(watch::Receiver<bool>);

/// Probes one database, over a connection that is not the pool's: a pool whose connections are all
/// in use is load and not an outage.
pub(crate) struct Probe {
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    available: watch::Sender<bool>,
}

// === impl Health ===

impl Health {
    pub(crate) fn is_available(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when a probe gets no answer.
    pub(crate) async fn lost(&mut self) {
        if self.0.wait_for(|available| !available).await.is_err() {
            // The probe has ended with the process; requests in flight are not its concern.
            std::future::pending::<()>().await;
        }
    }
}

// === impl Probe ===

impl Probe {
    /// Creates a probe over a connection that is open: to open one takes longer than an answer,
    /// and the first calls must not end because a busy server was slow at that.
    pub(crate) fn new(connection: PgConnection, options: PgConnectOptions) -> (Self, Health) {
        let (available, health) = watch::channel(true);
        let probe = Self {
            connection: Some(connection),
            options,
            available,
        };
        (probe, Health(health))
    }

    /// Probes until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        shutdown
            .run_until_cancelled(async {
                loop {
                    self.look().await;
                    sleep(PROBE_INTERVAL).await;
                }
            })
            .await;
    }

    async fn look(&mut self) {
        let answered = timeout(PROBE_TIMEOUT, self.ask()).await;
        let available = matches!(answered, Ok(Ok(())));
        let changed = self.available.send_if_modified(|state| {
            let changed = *state != available;
            *state = available;
            changed
        });
        match answered {
            _ if !changed => {}
            Ok(Ok(())) => tracing::info!("database available"),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "database not available"
            ),
            Err(_) => tracing::error!(timeout = ?PROBE_TIMEOUT, "database does not answer"),
        }
    }

    /// Asks over the open connection, or over a new one if there is none or it is broken.
    async fn ask(&mut self) -> Result<(), sqlx::Error> {
        // A question that is cancelled by the timeout takes its connection with it.
        if let Some(connection) = self.connection.take()
            && let Ok(connection) = ping(connection).await
        {
            self.connection = Some(connection);
            return Ok(());
        }
        let connection = self.options.connect().await?;
        self.connection = Some(ping(connection).await?);
        Ok(())
    }
}

async fn ping(mut connection: PgConnection) -> Result<PgConnection, sqlx::Error> {
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    Ok(connection)
}
