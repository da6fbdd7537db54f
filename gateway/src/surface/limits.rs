//! `/-/limits`: for each upstream the adaptive limit of concurrent calls, and what it does.

use std::collections::BTreeMap;

use admission::Status;
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

pub(super) fn answer(context: &Context) -> Result<Response<Body>, Failure> {
    let upstreams = context.directory().upstreams().iter();
    let limits = upstreams.map(|upstream| {
        let status = upstream.client().limit();
        (upstream.name(), status.map(Limit::from))
    });
    show(&limits.collect::<BTreeMap<_, _>>())
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
