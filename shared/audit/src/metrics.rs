//! The figures of a trail.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Counts of entries by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) recorded: Count,
    /// Writes that were refused, because their entry could not be recorded.
    pub(crate) refused: Count,
    /// Entries that the chain lacks.
    pub(crate) dropped: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

// === impl Count ===

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Figures ===

impl Figures {
    /// Writes the figures, with the entries that wait and whether the stream takes them.
    pub(crate) fn write(
        &self,
        waiting: u64,
        is_up: bool,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let help = "Entries of the audit trail, by outcome";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor("audit_entries", help, None, kind)?;
        for (outcome, count) in [
            ("recorded", &self.recorded),
            ("refused", &self.refused),
            ("dropped", &self.dropped),
        ] {
            let labels = [("outcome", outcome)];
            ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
        }
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "audit_waiting",
                "Entries that are not in the stream yet",
                waiting,
            ),
            (
                "audit_up",
                "Whether the stream takes entries",
                i64::from(is_up),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            let family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(family)?;
        }
        Ok(())
    }
}
