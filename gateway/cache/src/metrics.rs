//! The figures of a cache.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Counts of questions by how they were answered, and of answers dropped for their room.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) hits: Count,
    pub(crate) misses: Count,
    pub(crate) stale: Count,
    pub(crate) coalesced: Count,
    pub(crate) bypassed: Count,
    pub(crate) evicted: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Figures {
    /// Writes the figures, with the bytes and the number of kept answers.
    pub(crate) fn write(
        &self,
        (bytes, entries): (u64, u64),
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let name = "response_cache_requests";
        let help = "Calls of methods with a cache, by outcome";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (outcome, count) in [
            ("hit", &self.hits),
            ("miss", &self.misses),
            ("stale", &self.stale),
            ("coalesced", &self.coalesced),
            ("bypassed", &self.bypassed),
        ] {
            let labels = [("outcome", outcome)];
            ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
        }
        let evicted = ConstCounter::new(self.evicted.get());
        let help = "Answers dropped to make room";
        let kind = evicted.metric_type();
        let family = encoder.encode_descriptor("response_cache_evictions", help, None, kind)?;
        evicted.encode(family)?;
        for (name, help, value) in [
            ("response_cache_bytes", "Memory of the kept answers", bytes),
            ("response_cache_entries", "Kept answers", entries),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(family)?;
        }
        Ok(())
    }
}
