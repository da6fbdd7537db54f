//! Metrics of sagas that have not ended.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::metrics::{Described, write_described};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rpc::lock::lock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::outline::Outline;
use crate::store::{self, Count, State};

/// Interval in which the instances are counted.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// The metrics of one process; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// All steps ever shown: one without instances is shown as 0.
    steps: Mutex<BTreeSet<StepLabel>>,
    open: Family<StepLabel, Gauge>,
    stuck: Family<StepLabel, Gauge>,
    age: Family<StepLabel, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct StepLabel {
    saga: String,
    step: String,
}

// === impl Metrics ===

impl Metrics {
    /// Shows the steps of a saga, from now on.
    pub(crate) fn knows(&self, outline: &Outline) {
        let label = |step: &str| StepLabel {
            saga: outline.name().to_owned(),
            step: step.to_owned(),
        };
        lock(&self.inner.steps).extend(outline.steps().map(label));
        self.show(&[]);
    }

    /// Counts the instances until `shutdown`.
    pub(crate) async fn sample(
        &self,
        pool: &PgPool,
        shutdown: &CancellationToken,
    ) -> Result<(), Infallible> {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        while shutdown
            .run_until_cancelled(interval.tick())
            .await
            .is_some()
        {
            match store::counts(pool).await {
                Ok(counts) => self.show(&counts),
                // Readiness shows that the database is away; the values stay as they were.
                Err(error) => tracing::debug!(%error, "sagas not counted"),
            }
        }
        Ok(())
    }

    fn show(&self, counts: &[Count]) {
        let inner = &self.inner;
        let mut steps = lock(&inner.steps);
        steps.extend(counts.iter().map(StepLabel::of));
        for label in steps.iter() {
            let of = |state: State| {
                let mut counts = counts.iter();
                counts.find(|count| count.state == state && StepLabel::of(count) == *label)
            };
            let instances = |count: Option<&Count>| count.map_or(0, |count| count.instances);
            let (open, stuck) = (of(State::Open), of(State::NeedsOperator));
            inner.open.get_or_create(label).set(instances(open));
            inner.stuck.get_or_create(label).set(instances(stuck));
            let age = open.map_or(0.0, |count| count.oldest_s.max(0.0));
            inner.age.get_or_create(label).set(age);
        }
    }

    /// Writes all metrics.
    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let inner = &self.inner;
        let all: [Described<'_>; 3] = [
            (
                "saga_open_instances",
                "Sagas at this step, counted up to 100000 of all",
                &inner.open,
            ),
            (
                "saga_stuck_instances",
                "Sagas that wait at this step until an operator decides",
                &inner.stuck,
            ),
            (
                "saga_oldest_age_seconds",
                "Time since the oldest saga at this step began, stuck ones left out",
                &inner.age,
            ),
        ];
        write_described(encoder, all)
    }
}

// === impl StepLabel ===

impl StepLabel {
    fn of(count: &Count) -> Self {
        Self {
            saga: count.name.clone(),
            step: count.step.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::metrics::{self, Format};

    use super::*;
    use crate::definition::{Definition, Stage};

    const ALERTS: &str = include_str!("../../../deploy/alerts/sagas.rules.yaml");

    #[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
    enum Trip {
        Flight,
        Hotel,
    }

    fn text(metrics: &Metrics) -> String {
        let process = metrics::Metrics::new("test");
        let shown = metrics.clone();
        process.extend(move |encoder| shown.write(encoder));
        process.encode(Format::Prometheus).unwrap()
    }

    fn trips() -> Metrics {
        const TRIP: Definition<Trip> = Definition {
            name: "TRIP",
            version: 1,
            stages: &[Stage::call(Trip::Flight), Stage::call(Trip::Hotel)],
        };
        let metrics = Metrics::default();
        metrics.knows(&Outline::of(&TRIP));
        metrics
    }

    #[test]
    fn a_step_is_shown_before_and_after_it_has_instances() {
        let metrics = trips();
        let open = |instances| {
            format!("saga_open_instances{{saga=\"TRIP\",step=\"Flight\"}} {instances}\n")
        };
        assert!(text(&metrics).contains(&open(0)), "{}", text(&metrics));
        metrics.show(&[Count {
            name: "TRIP".to_owned(),
            step: "Flight".to_owned(),
            state: State::Open,
            instances: 3,
            oldest_s: 7.5,
        }]);
        let shown = text(&metrics);
        assert!(shown.contains(&open(3)), "{shown}");
        let age = "saga_oldest_age_seconds{saga=\"TRIP\",step=\"Flight\"} 7.5\n";
        assert!(shown.contains(age), "{shown}");
        metrics.show(&[]);
        assert!(text(&metrics).contains(&open(0)), "{}", text(&metrics));
    }

    #[test]
    fn alerts_read_metrics_that_exist() {
        let text = text(&trips());
        let names = ALERTS.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let names: Vec<_> = names.filter(|name| name.starts_with("saga_")).collect();
        assert!(names.len() > 1, "{names:?}");
        for name in names {
            let help = format!("# HELP {name} ");
            assert!(text.contains(&help), "{name} in\n{text}");
        }
    }
}
