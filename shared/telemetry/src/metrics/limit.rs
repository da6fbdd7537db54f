//! Metrics of adaptive limits of concurrent calls, read on demand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use admission::{Limiter, Refusal, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rpc::lock::lock;

/// The limits of a process by the address of their server.
#[derive(Clone, Default)]
pub(super) struct LimitCollector {
    limits: Arc<Mutex<BTreeMap<Box<str>, Limiter>>>,
}

// === impl LimitCollector ===

impl LimitCollector {
    pub(super) fn add(&self, address: &str, limiter: Limiter) {
        lock(&self.limits).insert(address.into(), limiter);
    }

    fn read(&self) -> Vec<(Box<str>, Status)> {
        let limits = lock(&self.limits);
        let limits = limits.iter();
        limits
            .filter_map(|(address, limiter)| Some((address.clone(), limiter.status()?)))
            .collect()
    }
}

impl fmt::Debug for LimitCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("LimitCollector")
            .field(&self.read())
            .finish()
    }
}

impl Collector for LimitCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let limits = self.read();
        if limits.is_empty() {
            return Ok(());
        }
        type Gauge = (&'static str, &'static str, fn(&Status) -> usize);
        let gauges: [Gauge; 3] = [
            ("admission_limit", "Calls that may be in flight", |of| {
                of.limit
            }),
            ("admission_in_flight", "Calls in flight", |of| of.in_flight),
            ("admission_queued", "Calls that wait for admission", |of| {
                of.queued
            }),
        ];
        for (name, help, value) in gauges {
            let values = limits.iter().map(|(address, limits)| {
                let labels = vec![("server_address", address.to_string())];
                (labels, ConstGauge::new(value(limits) as u64))
            });
            put(&mut encoder, name, help, values)?;
        }
        let admitted = limits.iter().map(|(address, limits)| {
            let labels = vec![("server_address", address.to_string())];
            (labels, ConstCounter::new(limits.admitted))
        });
        put(
            &mut encoder,
            "admission_admitted",
            "Calls admitted",
            admitted,
        )?;
        let rejected = limits.iter().flat_map(|(address, limits)| {
            Refusal::ALL.map(|refusal| {
                let address = ("server_address", address.to_string());
                let labels = vec![address, ("reason", refusal.name().to_owned())];
                (labels, ConstCounter::new(limits.refused[refusal as usize]))
            })
        });
        put(
            &mut encoder,
            "admission_rejected",
            "Calls rejected for overload",
            rejected,
        )
    }
}

pub(super) fn put<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metrics: impl Iterator<Item = (Vec<(&'static str, String)>, M)>,
) -> fmt::Result {
    let mut metrics = metrics.peekable();
    let Some(kind) = metrics.peek().map(|(_, metric)| metric.metric_type()) else {
        return Ok(());
    };
    let mut descriptor = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, metric) in metrics {
        metric.encode(descriptor.encode_family(&labels)?)?;
    }
    Ok(())
}
