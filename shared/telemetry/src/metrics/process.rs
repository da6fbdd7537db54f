//! What the operating system knows of the process, read when it is asked for; the names are those of every Prometheus client.

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self`; where there is none, there are no such metrics.
#[derive(Debug)]
pub(super) struct ProcessCollector;

struct Reading {
    cpu_seconds: f64,
    started_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Ok(reading) = Reading::take() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(reading.cpu_seconds);
        let help = "User and system CPU time";
        put(&mut encoder, "process_cpu_seconds", help, &cpu)?;
        for (name, help, value) in reading.gauges() {
            put(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        Ok(())
    }
}

impl Reading {
    fn take() -> procfs::ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let limit = process.limits()?.max_open_files.soft_limit;
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            started_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads,
            open_fds: process.fd_count().ok().map(|count| count as u64),
            max_fds: match limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            },
        })
    }

    fn gauges(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
        let number = |value: u64| Some(value as f64);
        let gauges = [
            (
                "process_start_time_seconds",
                "Start, since the Unix epoch",
                Some(self.started_seconds),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                number(self.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory",
                number(self.virtual_bytes),
            ),
            (
                "process_threads",
                "Threads of the operating system",
                Some(self.threads as f64),
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                self.open_fds.and_then(number),
            ),
            (
                "process_max_fds",
                "File descriptors that may be open",
                self.max_fds.and_then(number),
            ),
        ];
        gauges
            .into_iter()
            .filter_map(|(name, help, value)| Some((name, help, value?)))
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    let descriptor = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(descriptor)
}
