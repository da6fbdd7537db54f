//! The process that a server runs in.

use ::admission::Budget;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// The process that a server runs in; clones are the same process.
#[derive(Debug, Clone)]
pub struct Host {
    /// The name of the process.
    pub process: String,
    /// The settings of the server.
    pub settings: Settings,
    /// The metrics that `GET /metrics` shows.
    pub metrics: Metrics,
    /// The memory that requests may hold.
    pub budget: Budget,
    /// Cancelled when the process stops serving.
    pub draining: CancellationToken,
}
