//! Waits for conditions: no test sleeps for a fixed time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Longest wait for a condition on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Pause between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `look` returns a value; its error is the state that it saw instead.
///
/// # Errors
/// After [`PATIENCE`], with the last state.
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
