//! Metrics of calls to other servers.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rpc::error::code_name;
use tonic::Code;

use super::Table;

/// Upper bounds in seconds: fewer than for callers, as an attempt is also labelled by upstream.
const SECONDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The metrics of one upstream.
#[derive(Debug)]
pub struct Upstream {
    families: UpstreamFamilies,
    labels: Labels,
    retries: Counter,
    ejections: Counter,
    breaker: Gauge,
}

/// The state of a circuit breaker; the value of `upstream_breaker_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Calls pass.
    Closed = 0,
    /// Calls are rejected, except for a probe now and then.
    Open = 1,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    server_address: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    server_address: Arc<str>,
    rpc_response_status_code: &'static str,
}

#[derive(Debug, Clone)]
struct UpstreamFamilies {
    attempts: Family<AttemptLabels, Histogram, fn() -> Histogram>,
    retries: Family<Labels, Counter>,
    ejections: Family<Labels, Counter>,
    breakers: Family<Labels, Gauge>,
}

/// Upstreams by address.
pub(super) struct Upstreams {
    families: UpstreamFamilies,
    table: Table<Arc<Upstream>>,
}

// === impl Upstream ===

impl Upstream {
    /// Records an attempt, with its code and its time to the head of the response.
    pub fn attempt(&self, code: Code, duration: Duration) {
        let labels = AttemptLabels {
            server_address: self.labels.server_address.clone(),
            rpc_response_status_code: code_name(code),
        };
        let attempts = self.families.attempts.get_or_create(&labels);
        attempts.observe(duration.as_secs_f64());
    }

    /// Counts a call that is sent again.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// Counts an ejection of an endpoint.
    pub fn ejected(&self) {
        self.ejections.inc();
    }

    /// Sets the state of the circuit breaker.
    pub fn breaker(&self, state: Breaker) {
        self.breaker.set(state as i64);
    }
}

// === impl Upstreams ===

impl Upstreams {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = UpstreamFamilies {
            attempts: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            retries: Family::default(),
            ejections: Family::default(),
            breakers: Family::default(),
        };
        let of = &families;
        let help = "Time from an attempt of a call to the head of its response";
        let attempts = of.attempts.clone();
        registry.register_with_unit("upstream_attempt_duration", help, Unit::Seconds, attempts);
        let help = "Calls sent again";
        registry.register("upstream_retries", help, of.retries.clone());
        let help = "Ejections of an upstream's endpoints";
        registry.register("upstream_ejections", help, of.ejections.clone());
        let help = "Whether the circuit breaker is closed (0) or open (1)";
        registry.register("upstream_breaker_state", help, of.breakers.clone());
        Self {
            families,
            table: Table::default(),
        }
    }

    pub(super) fn get(&self, address: &str) -> Arc<Upstream> {
        self.table.get(
            address,
            |upstream| Some(upstream.clone()),
            |_| {
                let upstream = Arc::new(self.families.upstream(address));
                (upstream.clone(), upstream)
            },
        )
    }
}

impl UpstreamFamilies {
    fn upstream(&self, address: &str) -> Upstream {
        let labels = Labels {
            server_address: address.into(),
        };
        Upstream {
            retries: self.retries.get_or_create_owned(&labels),
            ejections: self.ejections.get_or_create_owned(&labels),
            breaker: self.breakers.get_or_create_owned(&labels),
            families: self.clone(),
            labels,
        }
    }
}
