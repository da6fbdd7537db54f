//! The directory of upstreams: their state, and the catalog of their merged API.

mod status;

pub(crate) use status::reason;

use std::sync::Arc;
use std::time::SystemTime;

use access::Ruling;
use arc_swap::ArcSwap;
use chassis::metrics::Metrics;
use learning::Learned;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::catalog::{ApiSize, Catalog, MergedApi, Refusal};
use super::policies::ApiOptions;
use super::settings::BreakingChanges;
use super::upstreams::UpstreamHandle;

/// Shared by every request and by the tasks that learn. The set of upstreams never changes; another
/// one is another directory.
pub(crate) struct Directory {
    upstreams: Arc<[UpstreamHandle]>,
    options: ApiOptions,
    policy: BreakingChanges,
    metrics: Metrics,
    catalog: ArcSwap<Catalog>,
    /// By index of the upstream. Held over a whole merge: two upstreams learned at once must not
    /// overwrite each other's catalog.
    entries: Mutex<Vec<Entry>>,
}

/// So many bindings and services that are left out stand in the log; `/-/schema` has all.
const LOGGED: usize = 20;

/// The state of one upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The active API.
    learned: Option<Learned>,
    learned_at: Option<SystemTime>,
    count: ApiSize,
    /// When the upstream was first served.
    joined: Option<SystemTime>,
    /// The last problem, so that one that lasts is logged once.
    problem: Option<String>,
    refused: Option<Arc<RefusedApi>>,
}

/// An API that an upstream offers and that is not in force.
#[derive(Debug)]
struct RefusedApi {
    learned: Learned,
    at: SystemTime,
    refusal: Refusal,
}

/// A catalog that is ready to go live, and the APIs that it is made of.
struct PreparedCatalog {
    apis: Vec<Option<Learned>>,
    merged: MergedApi,
    catalog: Arc<Catalog>,
}

impl Directory {
    /// Begins with what was known about the upstreams before. A change that waits for permission
    /// goes live here, if it has it.
    ///
    /// # Errors
    /// The known APIs do not compile with these options.
    pub(crate) async fn new(
        upstreams: Vec<UpstreamHandle>,
        entries: Vec<Entry>,
        options: ApiOptions,
        policy: BreakingChanges,
        metrics: Metrics,
    ) -> Result<Self, Refusal> {
        let upstreams: Arc<[UpstreamHandle]> = upstreams.into();
        let known = entries.iter().map(|entry| entry.learned.clone()).collect();
        let seniority = seniority(&entries);
        let prepared = prepare(upstreams.clone(), options.clone(), known, seniority).await?;
        let directory = Self {
            upstreams,
            options,
            policy,
            metrics,
            catalog: ArcSwap::new(prepared.catalog),
            entries: Mutex::new(entries),
        };
        directory.release().await;
        Ok(directory)
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    pub(crate) fn upstreams(&self) -> &[UpstreamHandle] {
        &self.upstreams
    }

    /// Returns the upstream with this name and its state, for a directory that takes over.
    pub(crate) async fn known(&self, name: &str) -> Option<(UpstreamHandle, Entry)> {
        let index = self.index(name)?;
        let entry = self.entries.lock().await[index].clone();
        Some((self.upstreams[index].clone(), entry))
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.upstreams.iter().position(|own| own.name() == name)
    }

    fn name(&self, index: usize) -> &str {
        self.upstreams[index].name()
    }

    /// Activates the API that an upstream offers, if it is new, fits the other upstreams and breaks
    /// no caller.
    pub(crate) async fn offer(&self, upstream: &str, learned: Learned) {
        let Some(index) = self.index(upstream) else {
            return;
        };
        let mut entries = self.entries.lock().await;
        let entry = &mut entries[index];
        if entry.learned.as_ref() == Some(&learned) {
            entry.refused = None;
            if entry.problem.take().is_some() {
                info!(upstream, "upstream is back with the same api");
            }
            return;
        }
        // Refused before, and nothing has changed: what another upstream offers meanwhile is tried
        // together with it.
        let refused = entry.refused.as_ref();
        if refused.is_some_and(|refused| refused.learned == learned) {
            return;
        }
        self.try_offer(&mut entries, index, learned).await;
    }

    /// Notes that an upstream did not answer; what was learned from it before stays in force.
    pub(crate) async fn unreachable(&self, upstream: &str, error: &learning::Error) {
        let Some(index) = self.index(upstream) else {
            return;
        };
        let problem = error.to_string();
        let last = &mut self.entries.lock().await[index].problem;
        if last.as_ref() != Some(&problem) {
            warn!(
                upstream,
                error = problem,
                "upstream not learned, trying again"
            );
        }
        *last = Some(problem);
    }

    /// Offers again what was refused, to rules that have changed.
    async fn release(&self) {
        let mut entries = self.entries.lock().await;
        for index in 0..entries.len() {
            if let Some(refused) = entries[index].refused.take() {
                self.try_offer(&mut entries, index, refused.learned.clone())
                    .await;
            }
        }
    }

    /// A service that moves between upstreams breaks no caller, but each half of the move alone is
    /// refused. So refused APIs are tried together with the new one first, then the new one alone.
    async fn try_offer(&self, entries: &mut [Entry], index: usize, learned: Learned) {
        let mut alone: Vec<_> = entries.iter().map(|entry| entry.learned.clone()).collect();
        alone[index] = Some(learned.clone());
        let mut together = alone.clone();
        for (api, entry) in together.iter_mut().zip(entries.iter()) {
            if let Some(refused) = &entry.refused {
                *api = Some(refused.learned.clone());
            }
        }
        together[index] = Some(learned.clone());
        let seniority = seniority(entries);
        let mut outcome = self.prepare(together.clone(), seniority.clone()).await;
        if outcome.is_err() && together != alone {
            outcome = self.prepare(alone, seniority).await;
        }
        match outcome {
            Ok(prepared) => self.swap(entries, index, prepared),
            Err(refusal) => self.refuse(&mut entries[index], index, learned, refusal),
        }
    }

    /// Compiles, and compares with the active API.
    async fn prepare(
        &self,
        apis: Vec<Option<Learned>>,
        seniority: Vec<usize>,
    ) -> Result<PreparedCatalog, Refusal> {
        let (upstreams, options) = (self.upstreams.clone(), self.options.clone());
        let prepared = prepare(upstreams, options, apis, seniority).await?;
        if self.policy == BreakingChanges::Allow {
            return Ok(prepared);
        }
        let (current, next) = (self.catalog(), prepared.catalog.clone());
        let changes = off_the_path(move || current.breaking_changes(&next)).await?;
        match changes.is_empty() {
            true => Ok(prepared),
            false => Err(Refusal::Breaking(changes)),
        }
    }

    fn swap(&self, entries: &mut [Entry], index: usize, prepared: PreparedCatalog) {
        let PreparedCatalog {
            apis,
            merged,
            catalog,
        } = prepared;
        self.report(index, &merged, &catalog, apis[index].as_ref());
        for (at, (entry, api)) in entries.iter_mut().zip(apis).enumerate() {
            if entry.learned != api {
                let now = Some(SystemTime::now());
                *entry = Entry {
                    learned: api,
                    learned_at: now,
                    joined: entry.joined.or(now),
                    count: merged.count(at),
                    ..Entry::default()
                };
            }
        }
        self.catalog.store(catalog);
        self.metrics.schema_offered(true);
    }

    fn refuse(&self, entry: &mut Entry, index: usize, learned: Learned, refusal: Refusal) {
        let problem = refusal.to_string();
        if entry.problem.as_ref() != Some(&problem) {
            let upstream = self.name(index);
            self.metrics.schema_offered(false);
            error!(upstream, problem, "api of upstream refused");
        }
        entry.problem = Some(problem);
        entry.refused = Some(Arc::new(RefusedApi {
            learned,
            at: SystemTime::now(),
            refusal,
        }));
    }

    fn report(
        &self,
        index: usize,
        merged: &MergedApi,
        catalog: &Catalog,
        learned: Option<&Learned>,
    ) {
        let upstream = self.name(index);
        for conflict in &merged.conflicts {
            error!(
                file = conflict.file,
                kept = self.name(conflict.kept),
                ignored = self.name(conflict.ignored),
                "two upstreams have different files of the same name"
            );
        }
        for binding in catalog.left_out(upstream).take(LOGGED) {
            warn!(
                upstream,
                method = binding.method.path(),
                http_method = binding.http_method,
                template = binding.template,
                reason = reason(binding),
                "http binding left out; all are at /-/schema"
            );
        }
        let services = learned.iter().flat_map(|learned| &learned.left_out);
        for (service, reason) in services.take(LOGGED) {
            warn!(
                upstream,
                service,
                reason,
                "service left out; a descriptor file (`--descriptors FILE` or `--proto DIR`) can declare it; all are at /-/schema"
            );
        }
        self.report_access(upstream, catalog);
        for note in catalog.schema.notes() {
            warn!(%note, "note on the api");
        }
        let count = merged.count(index);
        info!(
            upstream,
            services = count.services,
            methods = count.methods,
            http_rules = count.http_rules,
            "upstream learned"
        );
        let by_reflection_alone = learned.is_some_and(|learned| !learned.by_files);
        if count.methods > 0 && count.http_rules == 0 && by_reflection_alone {
            warn!(
                upstream,
                "0 http rules by reflection, so no json routes: give a descriptor file (`--descriptors FILE` or `--proto DIR`), \
                 or give the upstream's reflection its encoded descriptor set, which keeps google.api.http"
            );
        }
    }
}

impl Directory {
    /// Says which methods let nobody in, or that all let everyone in.
    fn report_access(&self, upstream: &str, catalog: &Catalog) {
        let is_own = |method: &str| {
            catalog
                .owner(method)
                .is_some_and(|own| own.name() == upstream)
        };
        let (mut ruled, mut silent) = (0, 0);
        for (method, ruling) in catalog
            .access
            .rulings()
            .filter(|(method, _)| is_own(method))
        {
            match ruling {
                Ruling::Ruled(_) => ruled += 1,
                Ruling::Silent => silent += 1,
                Ruling::Invalid(problems) => {
                    let reason = problems.join("; ");
                    error!(
                        upstream,
                        method, reason, "access rule invalid, nobody may call"
                    );
                }
            }
        }
        if self.options.authorizes && silent > 0 {
            warn!(
                upstream,
                methods = silent,
                "methods without an access rule, nobody may call them (`mesh.v1.access`, or `[[schema.policies]]`)"
            );
        }
        if !self.options.authorizes && ruled > 0 {
            warn!(
                upstream,
                methods = ruled,
                "methods with an access rule that is not enforced: nobody is authenticated (`[authentication]`)"
            );
        }
    }
}

async fn prepare(
    upstreams: Arc<[UpstreamHandle]>,
    options: ApiOptions,
    apis: Vec<Option<Learned>>,
    seniority: Vec<usize>,
) -> Result<PreparedCatalog, Refusal> {
    off_the_path(move || {
        let merged = MergedApi::new(&upstreams, &apis)?;
        let catalog = Catalog::compile(&merged, &upstreams, &apis, &options, &seniority)?;
        let catalog = Arc::new(catalog);
        Ok(PreparedCatalog {
            apis,
            merged,
            catalog,
        })
    })
    .await
}

/// Returns the upstreams in the order in which they were first served; new ones come last, in the
/// order of the configuration.
fn seniority(entries: &[Entry]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|index| {
        let joined = entries[*index].joined;
        (joined.is_none(), joined)
    });
    order
}

/// Runs long work for large APIs on a blocking thread.
async fn off_the_path<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Refusal::Panicked(error.to_string())),
    }
}
