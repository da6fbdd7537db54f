//! Metrics of the memory that requests hold, read on demand.

use std::fmt;
use std::sync::{Arc, OnceLock};

use admission::{Budget, Excess};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::limit::put;

/// The budget of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct BudgetCollector(Arc<OnceLock<Budget>>);

// === impl BudgetCollector ===

impl BudgetCollector {
    pub(super) fn set(&self, budget: Budget) {
        // The first one stays: a process has one.
        let _ = self.0.set(budget);
    }
}

impl Collector for BudgetCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(status) = self.0.get().map(Budget::status) else {
            return Ok(());
        };
        for (name, help, value) in [
            (
                "held_bytes",
                "Memory that requests hold, in bytes",
                status.held,
            ),
            ("held_bytes_limit", "Its bound, in bytes", status.limit),
        ] {
            let gauge = ConstGauge::new(value as u64);
            put(&mut encoder, name, help, [(vec![], gauge)].into_iter())?;
        }
        let refused = Excess::ALL.map(|excess| {
            let labels = vec![("share", excess.name().to_owned())];
            (labels, ConstCounter::new(status.refused[excess as usize]))
        });
        let help = "Requests rejected for memory";
        put(
            &mut encoder,
            "held_bytes_rejected",
            help,
            refused.into_iter(),
        )
    }
}
