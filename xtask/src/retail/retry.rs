//! Repeats idempotent calls through an outage: processes are killed and brought back while orders
//! run.

use std::io;
use std::time::{Duration, Instant};

use mesh::client;

/// How long a call is repeated: longer than a supervisor takes to bring a process back.
const OUTAGE: Duration = Duration::from_secs(90);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A failed upload or call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Call(#[from] client::Error),
    #[error("cannot read the file")]
    File(#[from] io::Error),
    #[error("no progress for {} s", OUTAGE.as_secs())]
    Outage(#[source] Option<Box<Error>>),
}

impl Error {
    /// Returns whether the same call may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_transient())
    }
}

/// Repeats an idempotent call until it succeeds, fails for good, or the outage lasts too long.
pub(crate) async fn retrying<T>(
    mut call: impl AsyncFnMut() -> Result<T, client::Error>,
) -> Result<T, Error> {
    let mut outage = Outage::default();
    loop {
        match call().await {
            Err(error) if error.is_transient() => outage.pause(Some(error.into())).await?,
            outcome => return Ok(outcome?),
        }
    }
}

/// A time in which no call succeeds.
#[derive(Debug, Default)]
pub(super) struct Outage {
    begin: Option<Instant>,
    pause: Duration,
}

impl Outage {
    /// Ends the outage: a call succeeded.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next try, or gives up with the last failure.
    pub(super) async fn pause(&mut self, failure: Option<Error>) -> Result<(), Error> {
        if self.begin.get_or_insert_with(Instant::now).elapsed() > OUTAGE {
            return Err(Error::Outage(failure.map(Box::new)));
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(self.pause).await;
        Ok(())
    }
}
