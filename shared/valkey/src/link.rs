//! The connection that is in use now, and its metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

/// Late answers in a row that open the circuit.
const LATE: u32 = 3;

/// One connection.
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    late: AtomicU32,
}

/// The place of the connection; `None` while the circuit is open.
#[derive(Default)]
pub(crate) struct Slot {
    link: ArcSwapOption<Link>,
    /// Wakes the connector after a loss.
    lost: Notify,
    /// Wakes those who wait for a connection.
    made: Notify,
    outcomes: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

// === impl Slot ===

impl Slot {
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    pub(crate) fn is_available(&self) -> bool {
        self.link.load().is_some()
    }

    pub(crate) fn put(&self, connection: MultiplexedConnection) {
        let late = AtomicU32::new(0);
        self.link.store(Some(Arc::new(Link { connection, late })));
        self.made.notify_waiters();
    }

    /// Removes a broken connection, unless a newer one is in its place.
    pub(crate) fn lose(&self, link: &Arc<Link>) {
        let found = self.link.compare_and_swap(link, None);
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, link)) {
            tracing::warn!("connection to the store lost");
            self.lost.notify_one();
        }
    }

    /// Counts a late answer; too many in a row are a loss.
    pub(crate) fn late(&self, link: &Arc<Link>) {
        if link.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE {
            self.lose(link);
        }
    }

    pub(crate) fn in_time(&self, link: &Link) {
        if link.late.load(Ordering::Relaxed) != 0 {
            link.late.store(0, Ordering::Relaxed);
        }
    }

    /// Resolves when the connection is lost.
    pub(crate) async fn lost(&self) {
        while self.is_available() {
            self.lost.notified().await;
        }
    }

    /// Resolves when there is a connection.
    pub(crate) async fn made(&self) {
        loop {
            let made = self.made.notified();
            if self.is_available() {
                return;
            }
            made.await;
        }
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let up = ConstGauge::new(i64::from(self.is_available()));
        let help = "Whether the store answers";
        let metric = encoder.encode_descriptor("valkey_up", help, None, up.metric_type())?;
        up.encode(metric)?;
        let help = "Commands to the store, by outcome";
        let kind = self.outcomes.metric_type();
        let metric = encoder.encode_descriptor("valkey_commands", help, None, kind)?;
        self.outcomes.encode(metric)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Slot");
        shown.field("available", &self.is_available());
        shown.finish_non_exhaustive()
    }
}
