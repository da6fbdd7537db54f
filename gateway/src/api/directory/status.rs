//! The state of each upstream, for operators at `/-/schema`.

use std::time::SystemTime;

use compatibility::BreakingChange;
use learning::Learned;
use serde::Serialize;
use transcoder::LeftOut;

use super::{Directory, Entry, RefusedApi};
use crate::api::catalog::{ApiSize, Catalog, Refusal};
use crate::api::settings::BreakingChanges;

/// The state of a directory, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryStatus {
    /// Whether every upstream has been learned.
    complete: bool,
    breaking_changes: BreakingChanges,
    upstreams: Vec<UpstreamStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpstreamStatus {
    upstream: String,
    /// `reflection` and `descriptors`, where the API in force comes from; empty until it is
    /// learned.
    sources: Vec<&'static str>,
    /// Seconds since 1970.
    learned_at: Option<u64>,
    services: usize,
    methods: usize,
    http_rules: usize,
    /// HTTP bindings that are not served.
    bindings_left_out: Vec<LeftOutBinding>,
    /// Services that are not served.
    services_left_out: Vec<LeftOutService>,
    problem: Option<String>,
    refused: Option<RefusedStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusedStatus {
    /// Seconds since 1970.
    refused_at: u64,
    reason: &'static str,
    changes: Vec<Change>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOutBinding {
    method: String,
    template: String,
    rpc_method: String,
    reason: String,
}

#[derive(Serialize)]
struct LeftOutService {
    service: String,
    reason: String,
}

#[derive(Serialize)]
struct Change {
    file: String,
    element: String,
    rule: &'static str,
    before: String,
    after: String,
}

impl Directory {
    pub(crate) async fn status(&self) -> DirectoryStatus {
        let entries = self.entries.lock().await;
        let catalog = self.catalog();
        DirectoryStatus {
            complete: catalog.complete,
            breaking_changes: self.policy,
            upstreams: self
                .upstreams
                .iter()
                .zip(entries.iter())
                .map(|(handle, entry)| upstream(handle.name(), entry, &catalog))
                .collect(),
        }
    }
}

fn upstream(name: &str, entry: &Entry, catalog: &Catalog) -> UpstreamStatus {
    let learned = entry.learned.as_ref();
    let by_reflection = learned.is_some_and(|learned| learned.by_reflection);
    let by_files = learned.is_some_and(|learned| learned.by_files);
    let sources = [(by_reflection, "reflection"), (by_files, "descriptors")];
    let ApiSize {
        services,
        methods,
        http_rules,
    } = entry.count;
    UpstreamStatus {
        upstream: name.to_owned(),
        sources: sources
            .into_iter()
            .filter_map(|(is_one, name)| is_one.then_some(name))
            .collect(),
        learned_at: entry.learned_at.map(seconds),
        services,
        methods,
        http_rules,
        bindings_left_out: catalog.left_out(name).map(LeftOutBinding::from).collect(),
        services_left_out: learned.map_or_else(Vec::new, services_left_out),
        problem: entry.problem.clone(),
        refused: entry.refused.as_deref().map(refused),
    }
}

fn services_left_out(learned: &Learned) -> Vec<LeftOutService> {
    let services = learned.left_out.iter();
    services
        .map(|(service, reason)| LeftOutService {
            service: service.clone(),
            reason: reason.clone(),
        })
        .collect()
}

impl From<&LeftOut> for LeftOutBinding {
    fn from(binding: &LeftOut) -> Self {
        Self {
            method: binding.http_method.clone(),
            template: binding.template.clone(),
            rpc_method: binding.method.path().trim_start_matches('/').to_owned(),
            reason: reason(binding),
        }
    }
}

/// The reason why a binding is left out, and the way out.
pub(crate) fn reason(binding: &LeftOut) -> String {
    let problem = &binding.problem;
    format!("{problem}; a rule under `[[schema.http_rules]]` can replace it")
}

fn refused(refused: &RefusedApi) -> RefusedStatus {
    let (reason, changes) = match &refused.refusal {
        Refusal::Breaking(changes) => ("BREAKING_CHANGES", changes.iter().map(change).collect()),
        Refusal::TwoOwners { .. } => ("SERVICE_OF_ANOTHER_UPSTREAM", Vec::new()),
        Refusal::TwoPolicies { .. } => ("TWO_POLICIES", Vec::new()),
        Refusal::InvalidPolicy { .. } => ("INVALID_POLICY", Vec::new()),
        Refusal::SelectsNothing { .. } => ("SELECTS_NOTHING", Vec::new()),
        _ => ("DOES_NOT_COMPILE", Vec::new()),
    };
    RefusedStatus {
        refused_at: seconds(refused.at),
        reason,
        changes,
    }
}

fn change(change: &BreakingChange) -> Change {
    Change {
        file: change.file.clone(),
        element: change.element.clone(),
        rule: change.rule.as_str(),
        before: change.before.clone(),
        after: change.after.clone(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
