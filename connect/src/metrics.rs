//! Metrics of the sources.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use chassis::metrics::{Described, write_described};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rpc::lock::lock;

/// Most rules of one source that are counted apart: services name some of them.
const MAX_RULES: usize = 64;

/// The rule under which all others are counted.
const OTHER: &str = "OTHER";

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of all sources; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Family<SourceLabel, Counter>,
    accepted: Family<SourceLabel, Counter>,
    quarantined: Family<RuleLabel, Counter>,
    bytes: Family<SourceLabel, Counter>,
    units: Family<OutcomeLabel, Counter>,
    fields: Family<FieldLabel, Counter>,
    held: Family<SourceLabel, Gauge>,
    stopped: Family<SourceLabel, Gauge>,
    owned: Family<SourceLabel, Gauge>,
    waiting: Family<SourceLabel, Gauge>,
    waiting_bytes: Family<SourceLabel, Gauge>,
    age: Family<SourceLabel, Seconds>,
    rules: Mutex<HashSet<(String, String)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    source: String,
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FieldLabel {
    source: String,
    field: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    source: String,
    outcome: &'static str,
}

/// The metrics of one source.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    source: String,
    inner: Arc<Inner>,
    /// Records that were read.
    pub(crate) records: Counter,
    /// Records that the service has accepted.
    pub(crate) accepted: Counter,
    /// Bytes of the units that were begun.
    pub(crate) bytes: Counter,
    /// Records in quarantine.
    pub(crate) held: Gauge,
    /// 1 if it has stopped by itself.
    pub(crate) stopped: Gauge,
    /// 1 if this process reads it.
    pub(crate) owned: Gauge,
    /// Units that wait, and their bytes.
    pub(crate) waiting: Gauge,
    pub(crate) waiting_bytes: Gauge,
    /// Age of the unit that has waited longest, or is being read.
    pub(crate) age: Seconds,
}

// === impl Metrics ===

impl Metrics {
    /// Returns the metrics of a source, from now on shown.
    pub(crate) fn source(&self, name: &str) -> SourceMetrics {
        let inner = &self.inner;
        let label = SourceLabel {
            source: name.to_owned(),
        };
        for outcome in ["done", "failed", "repeated"] {
            inner.unit(name, outcome);
        }
        SourceMetrics {
            source: name.to_owned(),
            records: inner.records.get_or_create_owned(&label),
            accepted: inner.accepted.get_or_create_owned(&label),
            bytes: inner.bytes.get_or_create_owned(&label),
            held: inner.held.get_or_create_owned(&label),
            stopped: inner.stopped.get_or_create_owned(&label),
            owned: inner.owned.get_or_create_owned(&label),
            waiting: inner.waiting.get_or_create_owned(&label),
            waiting_bytes: inner.waiting_bytes.get_or_create_owned(&label),
            age: inner.age.get_or_create_owned(&label),
            inner: inner.clone(),
        }
    }

    /// Writes all metrics.
    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.counters().into_iter().chain(self.gauges());
        write_described(encoder, all)
    }

    fn counters(&self) -> [Described<'_>; 6] {
        let inner = &self.inner;
        [
            (
                "connect_records",
                "Records that were read and have a durable outcome",
                &inner.records,
            ),
            (
                "connect_accepted",
                "Records that the service has accepted, replayed ones included",
                &inner.accepted,
            ),
            (
                "connect_quarantined",
                "Records that went into quarantine, by the rule that they broke",
                &inner.quarantined,
            ),
            (
                "connect_bytes",
                "Bytes of the units that were begun",
                &inner.bytes,
            ),
            (
                "connect_units",
                "Units that ended: done, failed, or repeated and left alone",
                &inner.units,
            ),
            (
                "connect_field_present",
                "Mapped records in which a field of the mapping has a value",
                &inner.fields,
            ),
        ]
    }

    fn gauges(&self) -> [Described<'_>; 6] {
        let inner = &self.inner;
        [
            ("connect_held_records", "Records in quarantine", &inner.held),
            (
                "connect_stopped",
                "1 if the source has stopped by itself",
                &inner.stopped,
            ),
            (
                "connect_owned",
                "1 if this process reads the source",
                &inner.owned,
            ),
            (
                "connect_waiting_units",
                "Units that wait to be read",
                &inner.waiting,
            ),
            (
                "connect_waiting_bytes",
                "Bytes of the units that wait to be read",
                &inner.waiting_bytes,
            ),
            (
                "connect_oldest_age_seconds",
                "Age of the oldest unit that waits or is being read",
                &inner.age,
            ),
        ]
    }
}

// === impl Inner ===

impl Inner {
    fn unit(&self, source: &str, outcome: &'static str) -> Counter {
        let source = source.to_owned();
        self.units
            .get_or_create_owned(&OutcomeLabel { source, outcome })
    }
}

// === impl SourceMetrics ===

impl SourceMetrics {
    /// Counts a unit that ended.
    pub(crate) fn ended(&self, outcome: &'static str) {
        self.inner.unit(&self.source, outcome).inc();
    }

    /// Counts a record that went into quarantine.
    pub(crate) fn quarantined(&self, rule: &str) {
        let source = self.source.clone();
        let rule = {
            let mut rules = lock(&self.inner.rules);
            let key = (source.clone(), rule.to_owned());
            let known = rules.iter().filter(|(own, _)| *own == source).count();
            if rules.contains(&key) || known < MAX_RULES {
                rules.insert(key);
                rule.to_owned()
            } else {
                OTHER.to_owned()
            }
        };
        let label = RuleLabel { source, rule };
        self.inner.quarantined.get_or_create(&label).inc();
    }

    /// Counts mapped records in which a field has a value.
    pub(crate) fn present(&self, field: &str, records: u64) {
        let label = FieldLabel {
            source: self.source.clone(),
            field: field.to_owned(),
        };
        self.inner.fields.get_or_create(&label).inc_by(records);
    }
}

#[cfg(test)]
mod tests {
    use chassis::metrics::{self, Format};

    use super::*;

    const ALERTS: &str = include_str!("../../deploy/alerts/connect.rules.yaml");

    #[test]
    fn alerts_read_metrics_that_exist() {
        let metrics = Metrics::default();
        metrics.source("a").quarantined("WIDTH");
        let process = metrics::Metrics::new("test");
        let shown = metrics.clone();
        process.extend(move |encoder| shown.write(encoder));
        let text = process.encode(Format::Prometheus).unwrap();
        let names = ALERTS.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let names: HashSet<&str> = names.filter(|name| name.starts_with("connect_")).collect();
        assert!(names.len() > 5, "{names:?}");
        for name in names {
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert!(text.contains(base), "{name} in\n{text}");
        }
    }

    #[test]
    fn rules_beyond_the_bound_are_counted_together() {
        let metrics = Metrics::default();
        let source = metrics.source("a");
        for rule in 0..MAX_RULES + 10 {
            source.quarantined(&format!("RULE_{rule}"));
        }
        source.quarantined("RULE_0");
        let label = |rule: &str| RuleLabel {
            source: "a".to_owned(),
            rule: rule.to_owned(),
        };
        let count = |rule: &str| metrics.inner.quarantined.get_or_create(&label(rule)).get();
        assert_eq!((count(OTHER), count("RULE_0")), (10, 2));
    }
}
