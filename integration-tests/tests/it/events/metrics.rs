//! Each standstill shows in the metrics that the alerts of `deploy/alerts` read.

use anyhow::{Context as _, Result};
use chassis::Process;
use chassis::config::{Layers, Sources};
use chassis::metrics::Format;
use events::{Consumer, HandlerError};
use tokio::sync::watch;

use super::desk::{AGGREGATE, CONSUMER, CONTEXT, Counted, Desk, until};

/// A process whose tasks end with it.
struct Served(Process);

// === impl Served ===

impl Served {
    fn new(name: &str) -> Result<Self> {
        let settings = Layers::load("", &Sources::default())?.settings()?;
        Ok(Self(Process::new(name, settings)))
    }

    /// Waits until the metric `name` has a value that `is` accepts.
    async fn expect(&self, name: &str, is: impl Fn(f64) -> bool) -> Result<()> {
        until(&format!("{name} is as expected"), async || {
            let text = self.0.metrics().encode(Format::Prometheus)?;
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let value = lines.filter_map(|value| value.trim().parse().ok()).next();
            Ok(value.filter(|value| is(*value)).map(drop).ok_or(value))
        })
        .await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.shutdown().cancel();
    }
}

/// Parks "bad"; waits under "stuck" until the gate opens.
fn consumer(gate: watch::Receiver<bool>) -> Consumer {
    Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on::<Counted>(move |_, fact| {
        let mut gate = gate.clone();
        Box::pin(async move {
            if fact.tally == "bad" {
                return Err(HandlerError::poison("not to be borne"));
            }
            if fact.tally == "stuck" {
                let opened = gate.wait_for(|open| *open).await;
                opened.map(drop).map_err(HandlerError::transient)?;
            }
            Ok(())
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn standstills_show_in_the_metrics() -> Result<()> {
    let desk = Desk::start().await?;
    let (producer, audit) = (Served::new("producer")?, Served::new("audit")?);
    let (open, gate) = watch::channel(false);
    let pool = desk.producer.clone();
    events::serve(&producer.0, &desk.settings, pool, []).await?;
    let pool = desk.auditor.clone();
    events::serve(&audit.0, &desk.settings, pool, [consumer(gate)]).await?;
    let of_consumer = |name: &str| format!("{name}{{consumer=\"{CONSUMER}\"}}");

    producer
        .expect("events_relay_owner", |owns| owns == 1.0)
        .await?;
    desk.count("good", 1..=3).await?;
    desk.count("bad", 1..=2).await?;
    let parked = of_consumer("events_parked_keys");
    audit.expect(&parked, |keys| keys == 1.0).await?;
    let settled = of_consumer("events_consumer_settled_total");
    audit.expect(&settled, |facts| facts == 5.0).await?;
    let batches = of_consumer("events_consumer_batch_facts_sum");
    audit.expect(&batches, |facts| facts >= 5.0).await?;
    producer
        .expect("events_relay_published_total", |rows| rows == 5.0)
        .await?;

    // The stream has another fact in the place of the one that waits.
    desk.inject("stopped", 1, Vec::new()).await?;
    desk.count("stopped", [1]).await?;
    let stopped = "events_stopped_keys{cause=\"forked\"}";
    producer.expect(stopped, |keys| keys == 1.0).await?;
    producer
        .expect("events_outbox_rows", |rows| rows == 1.0)
        .await?;
    producer
        .expect("events_outbox_oldest_age_seconds", |age| age == 0.0)
        .await?;

    desk.count("stuck", [1]).await?;
    let pending = of_consumer("events_consumer_pending");
    audit.expect(&pending, |messages| messages == 1.0).await?;
    let age = of_consumer("events_consumer_oldest_age_seconds");
    audit.expect(&age, |age| age > 0.0).await?;
    open.send(true).context("the consumer has ended")?;
    audit.expect(&pending, |messages| messages == 0.0).await?;
    audit.expect(&age, |age| age == 0.0).await
}
