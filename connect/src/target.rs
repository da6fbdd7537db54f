//! The services that get records: their addresses, and the contracts that they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chassis::Process;
use chassis::client::{Upstream, UpstreamSettings};
use chassis::config::ConfigError;
use learning::{Pace, Source, SourceOptions, descriptor_set};
use rpc::backoff::Backoff;
use tokio::time::{Instant, sleep};
use transcoder::Schema;

use crate::settings::Config;
use crate::store::Store;

/// Pauses between two attempts to learn a contract.
const BACKOFF: Backoff = Backoff::equal_jitter(Duration::from_millis(100), Duration::from_secs(2));

/// Limit of one round of reflection.
const ROUND: Duration = Duration::from_secs(10);

/// A service, or several of one process.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    pub(crate) schema: Arc<Schema>,
}

/// All targets by their configured names.
#[derive(Debug)]
pub(crate) struct Targets {
    by_name: BTreeMap<String, Target>,
}

/// A target whose contract is not known yet.
struct Unknown {
    name: String,
    upstream: Upstream,
    source: Source,
}

// === impl Targets ===

impl Targets {
    /// Learns the contracts of the targets until all of `methods` are found.
    ///
    /// A contract is kept: a target that is away is taken at its last word, so that it stops no
    /// source of another one.
    ///
    /// # Errors
    /// An invalid address; a contract that can't be learned in time, or can't be used.
    pub(crate) async fn learn(
        process: &Process,
        config: &Config,
        store: &Store,
        methods: &[&str],
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + config.learn_timeout();
        let mut unknown = unknown(process, config)?;
        let mut targets = Self {
            by_name: BTreeMap::new(),
        };
        for round in 1.. {
            let mut failed = Vec::new();
            for mut target in std::mem::take(&mut unknown) {
                match target.learn(store).await? {
                    Ok(schema) => {
                        let Unknown { name, upstream, .. } = target;
                        targets.by_name.insert(name, Target { upstream, schema });
                    }
                    Err(error) => failed.push((target, error)),
                }
            }
            if methods.iter().all(|method| targets.of(method).is_ok()) {
                for (target, error) in &failed {
                    tracing::warn!(target = target.name, %error, "contract not learned, and no source needs it");
                }
                break;
            }
            let pause = BACKOFF.pause(round);
            match failed.first() {
                // The sources name what no target has.
                None => break,
                Some((target, error)) if Instant::now() + pause > deadline => {
                    let key = format!("targets.{}", target.name);
                    anyhow::bail!("{key}: the contract can't be learned: {error}");
                }
                Some((target, error)) => {
                    tracing::info!(target = target.name, %error, "contract not learned yet");
                }
            }
            unknown = failed.into_iter().map(|(target, _)| target).collect();
            sleep(pause).await;
        }
        Ok(targets)
    }

    /// Returns the target that serves a method, `package.Service/Method`.
    ///
    /// # Errors
    /// No target serves it, or several do.
    pub(crate) fn of(&self, method: &str) -> Result<&Target, String> {
        let path = format!("/{method}");
        let mut serving = self
            .by_name
            .iter()
            .filter(|(_, target)| target.schema.method(&path).is_some());
        let Some((name, target)) = serving.next() else {
            return Err(self.unknown(method));
        };
        match serving.next() {
            None => Ok(target),
            Some((other, _)) => Err(format!(
                "both targets `{name}` and `{other}` serve `{method}`"
            )),
        }
    }

    fn unknown(&self, method: &str) -> String {
        let methods = self.by_name.values().flat_map(|target| {
            let methods = target.schema.methods();
            methods.map(|method| method.path().trim_start_matches('/'))
        });
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        match descriptors::nearest(method, methods) {
            Some(meant) => format!("no target serves `{method}`; did you mean `{meant}`?"),
            None if names.is_empty() => {
                format!("no target serves `{method}`: `targets` is empty")
            }
            None => format!("no target serves `{method}`; targets: {}", names.join(", ")),
        }
    }
}

// === impl Unknown ===

impl Unknown {
    /// Asks the target for its contract, else for its last one.
    async fn learn(
        &mut self,
        store: &Store,
    ) -> anyhow::Result<Result<Arc<Schema>, learning::Error>> {
        let set = match self.source.learn(&self.upstream).await {
            Ok(learned) => {
                for (service, reason) in &learned.left_out {
                    tracing::warn!(target = self.name, service, reason, "service can't be used");
                }
                let set = descriptor_set(learned.files.values());
                store.keep_contract(&self.name, &set).await?;
                set
            }
            Err(error) => match store.contract(&self.name).await? {
                Some(set) => {
                    tracing::warn!(target = self.name, %error, "target away, its last contract is used");
                    set
                }
                None => return Ok(Err(error)),
            },
        };
        let schema = tokio::task::spawn_blocking(move || Schema::compile(&set)).await?;
        let key = format!("targets.{}", self.name);
        let schema = schema.map_err(|error| ConfigError::effective(key, error.to_string()))?;
        Ok(Ok(Arc::new(schema)))
    }
}

/// Returns all targets of the configuration.
fn unknown(process: &Process, config: &Config) -> Result<Vec<Unknown>, ConfigError> {
    let is_only = config.targets.len() == 1;
    let mut all = Vec::new();
    for (name, url) in &config.targets {
        let settings = UpstreamSettings::at(url, &process.settings().client);
        let upstream = Upstream::new(settings, &format!("targets.{name}"), &[])?;
        let own_files = if is_only { config.descriptors.len() } else { 0 };
        let source = Source::new(SourceOptions {
            descriptors: config.descriptors.clone(),
            own_files,
            services: BTreeSet::new(),
            reflection: true,
            leaves_validation: false,
            process: None,
            pace: Pace {
                timeout: ROUND,
                interval: ROUND,
            },
        });
        all.push(Unknown {
            name: name.clone(),
            upstream: upstream.counted(process.metrics()),
            source,
        });
    }
    Ok(all)
}
