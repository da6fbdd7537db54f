//! Generations: the active configuration with its upstreams, and its replacement while requests go
//! on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chassis::client::UpstreamSettings;
use chassis::config::{ConfigError, Layers};
use chassis::{Process, Reloads};
use learning::Source;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Config;
use super::processes::Processes;
use super::stages::{Generation, Steps};
use crate::api::{Directory, UpstreamHandle, watch};
use crate::policy::{Answers, Audit, Authentication, Stages};
use quota::Limiter;
use valkey::Valkey;

/// The active generation. A request takes it once and keeps it to its end.
pub(crate) struct Generations {
    process: Process,
    stages: Stages,
    limiter: Limiter,
    answers: Answers,
    audit: Audit,
    /// Counts of all generations.
    auth_metrics: auth::Metrics,
    current: ArcSwap<Generation>,
    /// Ends the tasks that learn for the current one.
    retire: Mutex<CancellationToken>,
}

/// A generation that is not active yet, and the sources that its upstreams are learned from.
struct Prepared {
    generation: Generation,
    sources: Vec<Source>,
}

/// The parts that all generations of a process share.
struct Kept<'a> {
    answers: Answers,
    audit: Audit,
    limiter: &'a Limiter,
    auth_metrics: &'a auth::Metrics,
}

impl Generations {
    /// The first one, which knows nothing about its upstreams yet.
    ///
    /// # Errors
    /// A configuration that does not fit, with the key that is wrong.
    pub(crate) async fn begin(
        process: Process,
        config: Config,
        stages: Stages,
    ) -> Result<Self, ConfigError> {
        let auth_metrics = auth::Metrics::default();
        let shown = auth_metrics.clone();
        process
            .metrics()
            .extend(move |encoder| shown.write(encoder));
        let store = match config.valkey.is_set() {
            true => Some(Valkey::open(&process, &config.valkey)?),
            false => None,
        };
        config.limits.check("limits")?;
        let limiter = Limiter::open(&process, &config.limits, store.clone());
        let answers = Answers::new(&config.cache, &config.idempotency, store, &process);
        let audit = Audit::begin(&config.audit, &process)?;
        let kept = Kept {
            answers: answers.clone(),
            audit: audit.clone(),
            limiter: &limiter,
            auth_metrics: &auth_metrics,
        };
        let prepared = build(&process, config, stages.clone(), kept, None).await?;
        let retire = learn(&process, &prepared);
        Ok(Self {
            process,
            stages,
            limiter,
            answers,
            audit,
            auth_metrics,
            current: ArcSwap::from_pointee(prepared.generation),
            retire: Mutex::new(retire),
        })
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Activates each new configuration, until shutdown. An invalid one changes nothing.
    pub(crate) async fn follow(self: Arc<Self>, mut reloads: Reloads) -> anyhow::Result<()> {
        let shutdown = self.process.shutdown();
        loop {
            let layers = tokio::select! {
                layers = reloads.next() => layers,
                () = shutdown.cancelled() => return Ok(()),
            };
            let replaced = self.replace(&layers).await;
            self.process.metrics().config_reloaded(replaced.is_ok());
            match replaced {
                Ok(()) => info!("configuration in force"),
                Err(error) => {
                    let key = &error.key;
                    error!(key, %error, "configuration refused, the old one stays");
                }
            }
        }
    }

    async fn replace(&self, layers: &Layers) -> Result<(), ConfigError> {
        let mut retire = self.retire.lock().await;
        let current = self.current();
        let (config, stages) = (layers.parse()?, self.stages.clone());
        let kept = Kept {
            answers: self.answers.clone(),
            audit: self.audit.clone(),
            limiter: &self.limiter,
            auth_metrics: &self.auth_metrics,
        };
        let prepared = build(&self.process, config, stages, kept, Some(&current)).await?;
        // The old tasks first: what they learn from here on would be lost.
        retire.cancel();
        *retire = learn(&self.process, &prepared);
        self.current.store(Arc::new(prepared.generation));
        Ok(())
    }
}

/// Builds the next generation. Upstreams that stay keep their API, and their connections if their
/// settings are unchanged; removed ones drain with their calls.
async fn build(
    process: &Process,
    config: Config,
    stages: Stages,
    kept: Kept<'_>,
    before: Option<&Generation>,
) -> Result<Prepared, ConfigError> {
    config.validate()?;
    let all = config.upstream_settings(&process.settings().client)?;
    let (mut sources, mut upstreams, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for settings in all {
        let mut source = config.source(&settings.name);
        source.check().await.map_err(|error| {
            ConfigError::new("schema.descriptors", error.to_string(), "the configuration")
        })?;
        sources.push(source);
        let known = match before {
            Some(before) => before.directory().known(&settings.name).await,
            None => None,
        };
        let (upstream, entry) = known.unzip();
        upstreams.push(reuse_or_connect(upstream, settings, process)?);
        entries.push(entry.unwrap_or_default());
    }
    let (options, breaking_changes) = (config.api(), config.schema.breaking_changes);
    let metrics = process.metrics().clone();
    let directory = Directory::new(upstreams, entries, options, breaking_changes, metrics).await;
    let directory = directory.map_err(|refusal| {
        let problem = format!("the active api does not compile: {refusal}");
        ConfigError::new("schema", problem, "the configuration")
    })?;
    let processes = Processes::new(&config, &stages, kept.limiter, process).await?;
    let known = before.and_then(Generation::authentication);
    let authentication = Authentication::new(
        &config.authentication,
        &config.metadata.request_prefix,
        known,
        kept.auth_metrics,
        process,
    )?;
    let directory = Arc::new(directory);
    let generation = Generation::new(
        config,
        directory,
        processes,
        Steps {
            authentication,
            stages,
            limiter: kept.limiter.clone(),
            answers: kept.answers,
            audit: kept.audit,
        },
        process,
    )?;
    Ok(Prepared {
        generation,
        sources,
    })
}

/// Returns the known upstream if its settings are unchanged, else a new one.
fn reuse_or_connect(
    known: Option<UpstreamHandle>,
    settings: UpstreamSettings,
    process: &Process,
) -> Result<UpstreamHandle, ConfigError> {
    // Reconnect if the settings name certificate files: their content may have changed.
    let stays =
        |upstream: &UpstreamHandle| *upstream.settings() == settings && !settings.tls.reads_files();
    match known.filter(stays) {
        Some(upstream) => Ok(upstream),
        None => UpstreamHandle::connect(settings, process.metrics()),
    }
}

fn learn(process: &Process, prepared: &Prepared) -> CancellationToken {
    let retire = process.shutdown().child_token();
    let directory = prepared.generation.directory();
    for (upstream, source) in directory.upstreams().iter().zip(&prepared.sources) {
        let (upstream, source) = (upstream.clone(), source.clone());
        let watch = watch(directory.clone(), upstream, source, retire.clone());
        process.spawn("learn", watch);
    }
    retire
}
