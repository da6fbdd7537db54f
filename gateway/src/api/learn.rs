//! Keeps the directory in step with what the upstreams serve: learns each at start, and again for
//! as long as the process runs.

mod combine;
mod files;
mod reflection;
mod usable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chassis::client::Upstream;
use rpc::backoff::Backoff;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Directory, SchemaSettings, SourceSettings, UpstreamHandle};
use combine::Claims;
use files::DescriptorFiles;

pub(crate) use reflection::{Learned, qualified};
pub(crate) use usable::copies;

/// An API larger than this is a mistake or an attack: the largest public ones are a tenth of it.
const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// First pause after a failed attempt; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An upstream that has just come up should not wait longer than this for its callers.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The sources that one upstream is learned from.
#[derive(Clone, Debug)]
pub(crate) struct SchemaSource {
    files: DescriptorFiles,
    claims: Claims,
    asks: bool,
    /// Whether requests are left for the upstream to validate.
    leaves_validation: bool,
    pace: Pace,
    /// The last combined API and its usable part: an unchanged one is not compiled again.
    last: Option<(Learned, Learned)>,
}

/// How often an upstream is asked, and how long one round may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
}

/// A failure to learn an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Reflection(#[from] reflection::Error),
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error(transparent)]
    Combine(#[from] combine::Error),
    #[error("no service of the upstream can be served: {}", list(.0))]
    Nothing(BTreeMap<String, String>),
    #[error("the api cannot be compiled: {0}")]
    Panicked(String),
}

/// Services that the text of one error names.
const LISTED: usize = 5;

fn list(left_out: &BTreeMap<String, String>) -> String {
    let shown = left_out.iter().take(LISTED);
    let texts: Vec<String> = shown.map(|(name, why)| format!("{name}: {why}")).collect();
    texts.join("; ")
}

// === impl SchemaSource ===

impl SchemaSource {
    /// The source of one upstream: its own settings, and those for all.
    pub(crate) fn new(
        schema: &SchemaSettings,
        own: Option<&SourceSettings>,
        is_only_upstream: bool,
        pace: Pace,
    ) -> Self {
        let mut paths = own.map_or_else(Vec::new, |own| own.descriptors.clone());
        let own_files = paths.len();
        paths.extend(schema.descriptors.iter().cloned());
        // Files for all upstreams are about the only one, if there is no other.
        let is_alone = own_files == 0 && is_only_upstream;
        Self {
            claims: Claims {
                named: own.map_or_else(Default::default, |own| {
                    own.services.iter().cloned().collect()
                }),
                own_files: if is_alone { paths.len() } else { own_files },
            },
            files: DescriptorFiles::new(paths),
            asks: own
                .and_then(|own| own.reflection)
                .unwrap_or(schema.reflection),
            leaves_validation: own.and_then(|own| own.validation) == Some(false),
            pace,
            last: None,
        }
    }

    /// Reads the descriptor files, so that one that can't be used is found at once.
    pub(crate) async fn check(&mut self) -> Result<(), Error> {
        self.files.current().await?;
        Ok(())
    }

    async fn learn(&mut self, upstream: &Upstream) -> Result<Learned, Error> {
        let reflected = match self.asks {
            true => reflect(upstream, self.pace.timeout).await,
            false => Err(reflection::Error::NotOffered),
        };
        let sets = self.files.current().await?;
        let reflected = match reflected {
            Ok(learned) => Some(learned),
            Err(reflection::Error::NotOffered) if !self.asks || !sets.is_empty() => None,
            Err(error) => return Err(error.into()),
        };
        let combined = Learned {
            leaves_validation: self.leaves_validation,
            ..combine::combine(reflected.as_ref(), sets, &self.claims)?
        };
        let usable = match self.last.take() {
            Some((last, usable)) if last == combined => usable,
            _ => {
                let all = combined.clone();
                let search = tokio::task::spawn_blocking(move || usable::usable(all));
                search
                    .await
                    .map_err(|error| Error::Panicked(error.to_string()))?
            }
        };
        self.last = Some((combined, usable.clone()));
        match usable.services.is_empty() && !usable.left_out.is_empty() {
            true => Err(Error::Nothing(usable.left_out)),
            false => Ok(usable),
        }
    }
}

/// Learns one upstream until `stop`. A restarted upstream may serve another API without a trace on
/// any connection, so it is asked again and again; an unchanged answer changes nothing.
pub(crate) async fn watch(
    directory: Arc<Directory>,
    upstream: UpstreamHandle,
    mut source: SchemaSource,
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
        let pause = match failures {
            0 => source.pace.interval,
            _ => {
                let longest = source.pace.interval.min(LONGEST_PAUSE);
                Backoff::equal_jitter(FIRST_PAUSE, longest).pause(failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn reflect(upstream: &Upstream, limit: Duration) -> Result<Learned, reflection::Error> {
    let learn = chassis::deadline::scope(
        Instant::now() + limit,
        reflection::learn(upstream, limit / 4),
    );
    timeout(limit, learn).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} ms", limit.as_millis());
        Err(reflection::Error::Call(Status::deadline_exceeded(message)))
    })
}
