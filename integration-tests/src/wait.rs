//! Waiting for a condition: no test sleeps for a time that somebody guessed.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How long a condition may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` returns a value; `Err` is what it saw instead.
///
/// # Errors
/// After [`PATIENCE`], with what was seen last.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= end => {
                bail!("{what} did not happen; last seen: {seen:#}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
