//! What a process counts, in the text formats of Prometheus: calls, upstreams, schema, configuration, the process itself.
//!
//! Names and labels are those of the OpenTelemetry semantic conventions where these have one, in the spelling of Prometheus. Every
//! label has a bounded set of values: a route is a template of the schema and a method one of its methods, never what a caller sent.

mod call;
mod process;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use call::{Call, Protocol, Route};
pub use upstream::{Breaker, Upstream};

use call::{Calls, Routes};
use process::ProcessCollector;
use upstream::Upstreams;

/// The metrics of one process; clones are the same.
///
/// Handles ([`Metrics::call`], [`Metrics::route`], [`Metrics::upstream`]) are found without a lock, and counting with one is an
/// atomic addition.
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
    schema_swaps: Family<Outcome, Counter>,
    config_reloads: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A form of the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics text 1.0.
    OpenMetrics,
}

// === impl Metrics ===

impl Metrics {
    /// The metrics of a process with this name, all at zero.
    pub fn new(service: &str) -> Self {
        let mut registry = Registry::default();
        let labels = vec![("service_name".to_owned(), service.to_owned())];
        registry.register("target", "What is measured", Info::new(labels));
        let active = Gauge::default();
        registry.register(
            "http_server_active_requests",
            "Requests that are being served",
            active.clone(),
        );
        let calls = Calls::register(&mut registry);
        let routes = Routes::register(&mut registry);
        let upstreams = Upstreams::register(&mut registry);
        let schema_swaps = outcomes(
            &mut registry,
            "schema_swaps",
            "Schemas that an upstream offered, by what became of them",
        );
        let config_reloads = outcomes(
            &mut registry,
            "config_reloads",
            "Configuration files that were read again, by what became of them",
        );
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            inner: Arc::new(Inner {
                registry,
                active,
                calls,
                routes,
                upstreams,
                schema_swaps,
                config_reloads,
            }),
        }
    }

    /// What is counted of one RPC method (`package.Service/Method`, with or without a slash before it) in one protocol.
    pub fn call(&self, method: &str, protocol: Protocol) -> Arc<Call> {
        self.inner.calls.get(method, protocol)
    }

    /// What is counted of one route: a method of HTTP that is known by name, and a path template.
    pub fn route(&self, method: &http::Method, template: &str) -> Arc<Route> {
        self.inner.routes.get(method, template)
    }

    /// What is counted of the calls to one upstream, by its configured address.
    pub fn upstream(&self, address: &str) -> Arc<Upstream> {
        self.inner.upstreams.get(address)
    }

    /// A schema was taken over (or not, because it does not fit).
    pub fn schema_offered(&self, accepted: bool) {
        count(&self.inner.schema_swaps, accepted);
    }

    /// A changed configuration was taken over (or refused, and the old one stays).
    pub fn config_reloaded(&self, accepted: bool) {
        count(&self.inner.config_reloads, accepted);
    }

    /// Requests that are being served.
    pub(crate) fn active(&self) -> &Gauge {
        &self.inner.active
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// None that writing to memory has.
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
    /// What a scraper asks for in `Accept`; Prometheus text unless it names OpenMetrics.
    pub fn negotiate(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The content type of this form.
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

/// Handles by name, read without a lock. Names are few and come once each, so that a new one may cost a copy of the table.
struct Table<T>(ArcSwap<std::collections::HashMap<Box<str>, T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<T: Clone> Table<T> {
    /// What `find` sees in the entry of this name; else what it sees once `add` has changed the entry, which is `None` where
    /// there is none.
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
