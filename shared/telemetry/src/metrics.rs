//! Metrics of a process in the text formats of Prometheus: calls, upstreams, schema, configuration,
//! the process itself.
//!
//! Names and labels follow the OpenTelemetry semantic conventions, in the spelling of Prometheus.
//! Every label has a bounded set of values: a route is a template and a method one of the schema,
//! never the text of a request.

mod budget;
mod call;
mod extension;
mod limit;
mod process;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use admission::{Budget, Limiter};
use arc_swap::ArcSwap;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use call::{Call, Protocol, Route};
pub use extension::{Described, write_described};
pub use upstream::{Breaker, Upstream};

use budget::BudgetCollector;
use call::{Calls, Routes};
use extension::Extensions;
use limit::LimitCollector;
use process::ProcessCollector;
use upstream::Upstreams;

/// The metrics of one process; clones are the same.
///
/// Handles ([`Metrics::call`], [`Metrics::route`], [`Metrics::upstream`]) are found without a lock,
/// and counting with one is an atomic addition.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    active: Gauge,
    calls: Calls,
    routes: Routes,
    upstreams: Upstreams,
    limits: LimitCollector,
    budget: BudgetCollector,
    extensions: Extensions,
    schema_swaps: Family<Outcome, Counter>,
    config_reloads: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics text 1.0.
    OpenMetrics,
}

// === impl Metrics ===

impl Metrics {
    /// Creates the metrics of a process with this name, all at zero.
    pub fn new(service: &str) -> Self {
        let mut registry = Registry::default();
        let labels = vec![("service_name".to_owned(), service.to_owned())];
        registry.register("target", "The measured process", Info::new(labels));
        let active = Gauge::default();
        registry.register(
            "http_server_active_requests",
            "Requests in progress",
            active.clone(),
        );
        let calls = Calls::register(&mut registry);
        let routes = Routes::register(&mut registry);
        let upstreams = Upstreams::register(&mut registry);
        let limits = LimitCollector::default();
        registry.register_collector(Box::new(limits.clone()));
        let budget = BudgetCollector::default();
        registry.register_collector(Box::new(budget.clone()));
        let extensions = Extensions::default();
        registry.register_collector(Box::new(extensions.clone()));
        let schema_swaps = outcomes(
            &mut registry,
            "schema_swaps",
            "Schemas offered by upstreams, by outcome",
        );
        let config_reloads = outcomes(
            &mut registry,
            "config_reloads",
            "Configuration reloads, by outcome",
        );
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            inner: Arc::new(Inner {
                registry,
                active,
                calls,
                routes,
                upstreams,
                limits,
                budget,
                extensions,
                schema_swaps,
                config_reloads,
            }),
        }
    }

    /// Returns the metrics of one RPC method (`package.Service/Method`, with or without a leading
    /// slash) in one protocol.
    pub fn call(&self, method: &str, protocol: Protocol) -> Arc<Call> {
        self.inner.calls.get(method, protocol)
    }

    /// Returns the metrics of one route: a known HTTP method and a path template.
    pub fn route(&self, method: &http::Method, template: &str) -> Arc<Route> {
        self.inner.routes.get(method, template)
    }

    /// Returns the metrics of the calls to one upstream, by its configured address.
    pub fn upstream(&self, address: &str) -> Arc<Upstream> {
        self.inner.upstreams.get(address)
    }

    /// Shows the state of a limiter by the address of its server. A later one with the same address
    /// replaces it.
    pub fn limit(&self, address: &str, limiter: Limiter) {
        self.inner.limits.add(address, limiter);
    }

    /// Shows the memory that requests hold.
    pub fn budget(&self, budget: Budget) {
        self.inner.budget.set(budget);
    }

    /// Shows the metrics that `write` writes, for a library with metrics of its own.
    pub fn extend(
        &self,
        write: impl Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
    ) {
        self.inner.extensions.add(Arc::new(write));
    }

    /// Counts a schema that was accepted or rejected.
    pub fn schema_offered(&self, accepted: bool) {
        count(&self.inner.schema_swaps, accepted);
    }

    /// Counts a changed configuration that was accepted or rejected.
    pub fn config_reloaded(&self, accepted: bool) {
        count(&self.inner.config_reloads, accepted);
    }

    /// Returns the gauge of requests in progress.
    pub(crate) fn active(&self) -> &Gauge {
        &self.inner.active
    }

    /// Writes all metrics.
    ///
    /// # Errors
    /// None in practice: writing to memory does not fail.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        use prometheus_client::encoding::{prometheus_text, text};
        let mut out = String::new();
        match format {
            Format::Prometheus => prometheus_text::encode(&mut out, &self.inner.registry)?,
            Format::OpenMetrics => text::encode(&mut out, &self.inner.registry)?,
        }
        Ok(out)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

// === impl Format ===

impl Format {
    /// Returns the format that `Accept` asks for; Prometheus text unless it names OpenMetrics.
    pub fn negotiate(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Returns the content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

fn outcomes(registry: &mut Registry, name: &str, help: &str) -> Family<Outcome, Counter> {
    let family = Family::<Outcome, Counter>::default();
    registry.register(name, help, family.clone());
    family
}

fn count(family: &Family<Outcome, Counter>, accepted: bool) {
    let outcome = if accepted { "accepted" } else { "refused" };
    family.get_or_create(&Outcome { outcome }).inc();
}

/// Handles by name, read without a lock. Names are few and each is added once, so adding one copies
/// the table.
struct Table<T>(ArcSwap<std::collections::HashMap<Box<str>, T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<T: Clone> Table<T> {
    /// Returns what `find` finds in the entry of this name; otherwise replaces the entry, if any,
    /// with that of `add`.
    fn get<H>(
        &self,
        name: &str,
        find: impl Fn(&T) -> Option<H>,
        add: impl Fn(Option<&T>) -> (T, H),
    ) -> H {
        if let Some(found) = self.0.load().get(name).and_then(&find) {
            return found;
        }
        let mut handle = None;
        self.0.rcu(|table| {
            let mut table = (**table).clone();
            let (entry, added) = add(table.get(name));
            table.insert(name.into(), entry);
            handle = Some(added);
            table
        });
        handle.unwrap_or_else(|| add(None).1)
    }
}
