//! The dashboard of a mesh, which is part of its supervising process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dashboard::{Dashboard, Inputs, ProcessRow, TraceSource};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Stack, StackOptions, nats, operator};
use crate::project::{Engine, GATEWAY, NATS, POSTGRES};
use crate::supervise::{Board, ProcessStatus};

/// Names of the ports of the page and of the receiver of traces.
pub(super) const PORTS: [&str; 2] = [PAGE, TRACES];
const PAGE: &str = "dashboard";
const TRACES: &str = "traces";

/// Interval in which a process sends its spans, in milliseconds: a variable of the OpenTelemetry
/// specification, whose default is 5 s.
const EXPORT_INTERVAL: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "500");

/// The running dashboard; dropping it stops it.
#[derive(Debug)]
pub(super) struct Page {
    _rows: JoinSet<()>,
    _dashboard: Dashboard,
}

// === impl Stack ===

impl Stack {
    /// Opens the dashboard, if it is chosen.
    pub(super) async fn open_dashboard(&self, options: &StackOptions) -> Result<Option<Page>> {
        let Some(address) = self.dashboard_address() else {
            return Ok(None);
        };
        let page = listen(address, "the dashboard").await?;
        let traces = match &options.otlp {
            Some(collector) => TraceSource::Elsewhere(collector.clone()),
            None => TraceSource::Receive(listen(self.address(TRACES)?, "traces").await?),
        };
        let broker_url = match options.engines.contains(&Engine::Nats) {
            true => Some(self.nats_url(nats::OPERATOR)?),
            false => None,
        };
        let (mut rows, processes) = (JoinSet::new(), watch::Sender::new(Vec::new()));
        let inputs = Inputs {
            processes: processes.subscribe(),
            logs: self.dir().join("logs"),
            gateway: options
                .chosen()
                .any(|name| name == GATEWAY)
                .then(|| self.address(GATEWAY))
                .transpose()?,
            operator_token: self.operator_token()?,
            operator_file: operator::file(self.dir()),
            broker_url,
        };
        rows.spawn(keep_rows(Arc::clone(&self.board), processes));
        let dashboard = Dashboard::start(inputs, page, traces)?;
        Ok(Some(Page {
            _rows: rows,
            _dashboard: dashboard,
        }))
    }

    /// Returns the address of the dashboard; `None` if it is not chosen.
    pub fn dashboard_address(&self) -> Option<SocketAddr> {
        self.address(PAGE).ok()
    }

    /// Returns the collector that all processes export traces to: the chosen one, else the
    /// dashboard.
    pub(super) fn collector(&self, options: &StackOptions) -> Option<String> {
        let own = || Some(format!("http://{}", self.address(TRACES).ok()?));
        options.otlp.clone().or_else(own)
    }

    /// Adds what makes processes send their traces to the dashboard soon: people wait for them.
    pub(super) fn with_export(
        &self,
        options: &StackOptions,
        mut variables: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        if options.dashboard && options.otlp.is_none() {
            variables.insert(EXPORT_INTERVAL.0.to_owned(), EXPORT_INTERVAL.1.to_owned());
        }
        variables
    }
}

async fn listen(address: SocketAddr, what: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// Passes every change of the board on, with the time since when a process is in its state.
async fn keep_rows(board: Arc<Board>, rows: watch::Sender<Vec<ProcessRow>>) {
    let mut changes = board.subscribe();
    let mut since: BTreeMap<String, (ProcessStatus, u64)> = BTreeMap::new();
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis() as u64);
        let statuses = changes.borrow_and_update().clone();
        for (name, status) in statuses {
            match since.get_mut(&name) {
                Some((known, _)) if known.state == status.state && known.life == status.life => {
                    *known = status;
                }
                _ => drop(since.insert(name, (status, now))),
            }
        }
        let mut shown: Vec<ProcessRow> = since.values().map(row).collect();
        shown.sort_by_key(|row| [GATEWAY, NATS, POSTGRES].map(|name| row.name == name));
        shown.sort_by_key(|row| row.name != GATEWAY);
        rows.send_replace(shown);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn row((status, since_ms): &(ProcessStatus, u64)) -> ProcessRow {
    ProcessRow {
        name: status.name.clone(),
        address: status.address,
        state: status.state.name(),
        restarts: status.restarts,
        pid: status.life.as_ref().map(|life| life.pid),
        since_ms: *since_ms,
        last_exit: status.last_exit.clone(),
        detail: status.detail.clone(),
        has_metrics: ![NATS, POSTGRES].contains(&status.name.as_str()),
    }
}
