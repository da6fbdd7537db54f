//! Metrics of libraries, which they write themselves.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use rpc::lock::lock;

/// A metric of a library, with its name and help.
pub type Described<'a> = (&'static str, &'static str, &'a dyn EncodeMetric);

type Write = dyn Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync;

/// The libraries of a process that have metrics of their own.
#[derive(Clone, Default)]
pub(super) struct Extensions {
    all: Arc<Mutex<Vec<Arc<Write>>>>,
}

/// Writes metrics of a library one after the other.
///
/// # Errors
/// Those of the encoder.
pub fn write_described<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    metrics: impl IntoIterator<Item = Described<'a>>,
) -> fmt::Result {
    metrics.into_iter().try_for_each(|(name, help, metric)| {
        let kind = metric.metric_type();
        metric.encode(encoder.encode_descriptor(name, help, None, kind)?)
    })
}

// === impl Extensions ===

impl Extensions {
    pub(super) fn add(&self, write: Arc<Write>) {
        lock(&self.all).push(write);
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Extensions")
            .field(&lock(&self.all).len())
            .finish()
    }
}

impl Collector for Extensions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = lock(&self.all).clone();
        all.iter().try_for_each(|write| write(&mut encoder))
    }
}
