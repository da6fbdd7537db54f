//! The processes of a mesh as the page shows them.

use std::net::SocketAddr;

use serde::Serialize;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    /// The name.
    pub name: String,
    /// Address that it listens on.
    pub address: SocketAddr,
    /// The state: `healthy`, `unhealthy`, `starting`, `restarting` or `stopped`.
    pub state: &'static str,
    /// Number of restarts.
    pub restarts: u32,
    /// The process that runs now.
    pub pid: Option<u32>,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_ms: u64,
    /// Its last unexpected end.
    pub last_exit: Option<String>,
    /// Reason why it is not healthy.
    pub detail: Option<String>,
    /// Whether it answers `GET /metrics`.
    pub has_metrics: bool,
}
