//! Wires sagas into a process: a runner for each, and the metrics of all.

use chassis::Process;
use sqlx::PgPool;

use crate::attempt::Saga;
use crate::metrics::Metrics;
use crate::outline::Outline;
use crate::runner::{Handle, Runner};
use crate::settings::Settings;

/// The sagas that one process runs on its database.
#[derive(Debug)]
pub struct Sagas<'a> {
    process: &'a Process,
    settings: &'a Settings,
    pool: PgPool,
    metrics: Metrics,
    outlines: Vec<Outline>,
}

// === impl Sagas ===

impl<'a> Sagas<'a> {
    /// Begins to count the sagas of a database for the metrics of the process.
    ///
    /// The database has applied [`MIGRATIONS`](crate::MIGRATIONS).
    pub fn new(process: &'a Process, settings: &'a Settings, pool: PgPool) -> Self {
        let metrics = Metrics::default();
        let (shown, counted) = (metrics.clone(), metrics.clone());
        process
            .metrics()
            .extend(move |encoder| shown.write(encoder));
        let (database, shutdown) = (pool.clone(), process.shutdown());
        process.spawn("saga metrics", async move {
            counted.sample(&database, &shutdown).await
        });
        Self {
            process,
            settings,
            pool,
            metrics,
            outlines: Vec::new(),
        }
    }

    /// Runs a saga until the process shuts down; see [`Runner::run`].
    pub fn serve<S: Saga>(&mut self, saga: S) -> Handle {
        let outline = Outline::of(&S::DEFINITION);
        self.metrics.knows(&outline);
        self.outlines.push(outline);
        let runner = Runner::new(saga, self.pool.clone(), self.settings.clone());
        let handle = runner.handle();
        let running = runner.run(self.process.shutdown());
        self.process.spawn("saga", running);
        handle
    }

    /// Returns the definitions of the sagas that are served, for the operators' desk.
    pub fn outlines(self) -> Vec<Outline> {
        self.outlines
    }
}
