//! Decisions by limit, and the round trips for leases.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// The metrics of a limiter; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    decisions: Family<Decision, Counter>,
    leases: Family<LeaseLabels, Counter>,
}

/// The counters of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub(crate) allowed: Counter,
    pub(crate) refused: Counter,
    /// Decided without the store, because it was away.
    pub(crate) degraded: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    limit: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabels {
    outcome: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Returns the counters of a limit: its name is one of the contract or the configuration.
    pub(crate) fn of(&self, limit: &str) -> Counters {
        let counter = |outcome| {
            let limit = limit.to_owned();
            let decision = Decision { limit, outcome };
            self.decisions.get_or_create(&decision).clone()
        };
        Counters {
            allowed: counter("allowed"),
            refused: counter("refused"),
            degraded: counter("degraded"),
        }
    }

    pub(crate) fn lease(&self, outcome: &'static str) {
        self.leases.get_or_create(&LeaseLabels { outcome }).inc();
    }

    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by limit and outcome; degraded: decided while the store was away";
        let kind = self.decisions.metric_type();
        let metric = encoder.encode_descriptor("rate_limit_decisions", help, None, kind)?;
        self.decisions.encode(metric)?;
        let help = "Round trips for leases, by outcome";
        let kind = self.leases.metric_type();
        let metric = encoder.encode_descriptor("rate_limit_leases", help, None, kind)?;
        self.leases.encode(metric)
    }
}
