//! The current catalog, the clients of the upstreams, and what is known about each of them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chassis::client::Upstream;
use tokio::sync::Mutex;
use tracing::{error, info, warn};
use transcoder::Options;

use crate::catalog::{Catalog, Merged, Refusal};
use crate::learn::reflection::{Error as LearnError, Learned};

/// Shared by every request and by the tasks that learn.
pub(crate) struct Directory {
    urls: Vec<String>,
    upstreams: Vec<Upstream>,
    options: Options,
    catalog: ArcSwap<Catalog>,
    /// By index of the upstream. Held over a whole merge: two upstreams learned at once must not overwrite each other's catalog.
    entries: Mutex<Vec<Entry>>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    learned: Option<Learned>,
    /// The last problem, so that one that lasts is logged once.
    problem: Option<String>,
}

impl Directory {
    pub(crate) fn new(
        upstreams: Vec<(String, Upstream)>,
        options: Options,
    ) -> Result<Self, Refusal> {
        let (urls, upstreams): (Vec<_>, Vec<_>) = upstreams.into_iter().unzip();
        Ok(Self {
            entries: Mutex::new(vec![Entry::default(); urls.len()]),
            catalog: ArcSwap::from_pointee(Catalog::compile(&Merged::default(), &options, false)?),
            urls,
            upstreams,
            options,
        })
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// How many upstreams there are.
    pub(crate) fn len(&self) -> usize {
        self.upstreams.len()
    }

    pub(crate) fn upstream(&self, index: usize) -> &Upstream {
        &self.upstreams[index]
    }

    /// Takes over what an upstream reflects, if it differs from what is known and fits the other upstreams.
    pub(crate) async fn offer(&self, index: usize, learned: Learned) {
        let mut entries = self.entries.lock().await;
        if entries[index].learned.as_ref() == Some(&learned) {
            if entries[index].problem.take().is_some() {
                info!(
                    upstream = self.urls[index],
                    "upstream is back with the same api"
                );
            }
            return;
        }
        let mut apis: Vec<_> = entries.iter().map(|entry| entry.learned.clone()).collect();
        apis[index] = Some(learned);
        match self.swap(index, &apis) {
            Ok(()) => {
                entries[index] = Entry {
                    learned: apis.swap_remove(index),
                    problem: None,
                }
            }
            Err(refusal) => {
                let problem = refusal.to_string();
                if entries[index].problem.as_ref() != Some(&problem) {
                    error!(
                        upstream = self.urls[index],
                        problem, "api of upstream refused"
                    );
                }
                entries[index].problem = Some(problem);
            }
        }
    }

    /// Notes that an upstream did not answer; what was learned from it before stays in force.
    pub(crate) async fn unreachable(&self, index: usize, error: &LearnError) {
        let problem = error.to_string();
        let last = &mut self.entries.lock().await[index].problem;
        if last.as_ref() != Some(&problem) {
            warn!(
                upstream = self.urls[index],
                error = problem,
                "upstream not learned, trying again"
            );
        }
        *last = Some(problem);
    }

    fn swap(&self, index: usize, apis: &[Option<Learned>]) -> Result<(), Refusal> {
        let merged = Merged::new(&self.urls, apis)?;
        let complete = apis.iter().all(Option::is_some);
        let catalog = Arc::new(Catalog::compile(&merged, &self.options, complete)?);
        self.report(index, &merged, &catalog);
        self.catalog.store(catalog);
        Ok(())
    }

    fn report(&self, index: usize, merged: &Merged, catalog: &Catalog) {
        let upstream = &self.urls[index];
        for conflict in &merged.conflicts {
            error!(
                file = conflict.file,
                kept = self.urls[conflict.kept],
                ignored = self.urls[conflict.ignored],
                "two upstreams reflect different files of the same name"
            );
        }
        for note in catalog.schema.notes() {
            warn!(%note, "remark on the api");
        }
        let learned = merged.count(index);
        info!(
            upstream,
            services = learned.services,
            methods = learned.methods,
            http_rules = learned.http_rules,
            "upstream learned"
        );
        if learned.methods > 0 && learned.http_rules == 0 {
            warn!(
                upstream,
                "0 http rules by reflection, so no json routes: give the upstream's reflection its encoded descriptor set, \
                 which keeps google.api.http"
            );
        }
    }
}
