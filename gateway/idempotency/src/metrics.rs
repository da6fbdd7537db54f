//! The figures of calls with a key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

/// The outcomes of calls with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    First,
    Replayed,
    InFlight,
    Reused,
    StoreAway,
    NotStored,
}

/// Counts of calls by their outcome.
#[derive(Debug, Default)]
pub(crate) struct Figures([AtomicU64; 6]);

const NAMES: [&str; 6] = [
    "first",
    "replayed",
    "in_flight",
    "reused",
    "store_away",
    "not_stored",
];

impl Figures {
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.0.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls with an idempotency key, by outcome";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor("idempotency_calls", help, None, kind)?;
        for (name, count) in NAMES.iter().zip(&self.0) {
            let labels = [("outcome", *name)];
            let counter = ConstCounter::new(count.load(Ordering::Relaxed));
            counter.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
