//! Keeps the directory in step with what the upstreams serve: learns each at start, and again for as long as the process runs.

pub(crate) mod reflection;

use std::sync::Arc;
use std::time::Duration;

use chassis::client::Upstream;
use rand::Rng;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::config::Config;
use crate::directory::Directory;
use reflection::{Error, Learned};

/// First pause after a failed attempt; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An upstream that has just come up should not wait longer than this for its callers.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Learns one upstream until shutdown. A restarted upstream may serve another API than before and no connection says so:
/// asking again is what finds out, and an unchanged answer changes nothing.
pub(crate) async fn watch(
    directory: Arc<Directory>,
    index: usize,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut failures = 0;
    loop {
        let pause = match attempt(directory.upstream(index), config.reflect_timeout()).await {
            Ok(learned) => {
                failures = 0;
                directory.offer(index, learned).await;
                config.reflect_interval()
            }
            Err(error) => {
                directory.unreachable(index, &error).await;
                failures += 1;
                backoff(failures, config.reflect_interval().min(LONGEST_PAUSE))
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn attempt(upstream: &Upstream, limit: Duration) -> Result<Learned, Error> {
    let learn = chassis::deadline::scope(Instant::now() + limit, reflection::learn(upstream));
    timeout(limit, learn).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} ms", limit.as_millis());
        Err(Error::Call(Status::deadline_exceeded(message)))
    })
}

/// Half fixed, half random, so that gateways that lost the same upstream do not come back in step.
fn backoff(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let half = doubled.min(longest) / 2;
    half + half.mul_f64(rand::rng().random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_interval_and_are_jittered() {
        let longest = Duration::from_secs(10);
        for failures in 1..40 {
            let full = FIRST_PAUSE
                .saturating_mul(1 << (failures - 1).min(16))
                .min(longest);
            let pause = backoff(failures, longest);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
    }
}
