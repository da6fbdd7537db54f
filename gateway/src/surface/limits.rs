//! `/-/limits`: for each upstream the adaptive limit of concurrent calls and what it does, and the
//! memory that requests hold.

use std::collections::BTreeMap;

use admission::{BudgetStatus, Status};
use http::Response;
use serde::Serialize;
use tonic::body::Body;

use super::status::show;
use crate::context::Context;
use crate::failure::Failure;

/// The limit of one upstream; `null` with `adaptive_limit = false`.
#[derive(Serialize)]
struct Limit {
    limit: usize,
    in_flight: usize,
    queued: usize,
    /// Whether the newest calls are first.
    overloaded: bool,
    service_time_ms: f64,
    admitted: u64,
    rejected: Rejected,
}

/// Rejected calls since the start.
#[derive(Serialize)]
struct Rejected {
    overloaded: u64,
    over_share: u64,
    too_late: u64,
}

/// The whole page.
#[derive(Serialize)]
struct Limits<'a> {
    #[serde(flatten)]
    upstreams: BTreeMap<&'a str, Option<Limit>>,
    memory: Memory,
}

/// The memory that requests hold.
#[derive(Serialize)]
struct Memory {
    limit_bytes: usize,
    held_bytes: usize,
    /// Those that hold any.
    clients: usize,
    rejected: RejectedForMemory,
}

/// Rejected requests since the start.
#[derive(Serialize)]
struct RejectedForMemory {
    over_share: u64,
    spent: u64,
}

pub(super) fn answer(context: &Context) -> Result<Response<Body>, Failure> {
    let upstreams = context.directory().upstreams().iter();
    let limits = upstreams.map(|upstream| {
        let status = upstream.client().limit();
        (upstream.name(), status.map(Limit::from))
    });
    show(&Limits {
        upstreams: limits.collect(),
        memory: Memory::from(context.budget().status()),
    })
}

impl From<BudgetStatus> for Memory {
    fn from(status: BudgetStatus) -> Self {
        let [over_share, spent] = status.refused;
        Self {
            limit_bytes: status.limit,
            held_bytes: status.held,
            clients: status.clients,
            rejected: RejectedForMemory { over_share, spent },
        }
    }
}

impl From<Status> for Limit {
    fn from(status: Status) -> Self {
        let [overloaded, over_share, too_late] = status.refused;
        Self {
            limit: status.limit,
            in_flight: status.in_flight,
            queued: status.queued,
            overloaded: status.is_overloaded,
            service_time_ms: status.service_time.as_secs_f64() * 1000.0,
            admitted: status.admitted,
            rejected: Rejected {
                overloaded,
                over_share,
                too_late,
            },
        }
    }
}
