//! Keeps the directory in step with what the upstreams serve: learns each at start, and again for
//! as long as the process runs.

use std::sync::Arc;
use std::time::Duration;

use learning::{Pace, Source, SourceOptions};
use rpc::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::{Directory, SchemaSettings, SourceSettings, UpstreamHandle};

/// First pause after a failed attempt; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An upstream that has just come up should not wait longer than this for its callers.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Returns the source of one upstream: its own settings, and those for all.
pub(crate) fn source(
    schema: &SchemaSettings,
    own: Option<&SourceSettings>,
    is_only_upstream: bool,
    pace: Pace,
) -> Source {
    let own = own.cloned().unwrap_or_default();
    let mut descriptors = own.descriptors;
    let own_files = descriptors.len();
    descriptors.extend(schema.descriptors.iter().cloned());
    // Files for all upstreams are about the only one, if there is no other.
    let is_alone = own_files == 0 && is_only_upstream;
    Source::new(SourceOptions {
        own_files: if is_alone {
            descriptors.len()
        } else {
            own_files
        },
        descriptors,
        services: own.services.into_iter().collect(),
        reflection: own.reflection.unwrap_or(schema.reflection),
        leaves_validation: own.validation == Some(false),
        process: None,
        pace,
    })
}

/// Learns one upstream until `stop`. A restarted upstream may serve another API without a trace on
/// any connection, so it is asked again and again; an unchanged answer changes nothing.
pub(crate) async fn watch(
    directory: Arc<Directory>,
    upstream: UpstreamHandle,
    mut source: Source,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut failures = 0;
    loop {
        let attempt = async {
            let learned = source.learn(upstream.client()).await;
            match &learned {
                Ok(learned) => directory.offer(upstream.name(), learned.clone()).await,
                Err(error) => directory.unreachable(upstream.name(), error).await,
            }
            learned.is_ok()
        };
        let is_learned = tokio::select! {
            is_learned = attempt => is_learned,
            () = stop.cancelled() => return Ok(()),
        };
        failures = if is_learned { 0 } else { failures + 1 };
        let interval = source.pace().interval;
        let pause = match failures {
            0 => interval,
            _ => {
                let longest = interval.min(LONGEST_PAUSE);
                Backoff::equal_jitter(FIRST_PAUSE, longest).pause(failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
