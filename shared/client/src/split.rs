//! Versions of an upstream that get a share of its calls, and the mirror that gets copies.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::exchange;
use crate::payload::Payload;

/// Limit of a copy, also if the call itself has no deadline.
const MIRROR_TIME_MAX: Duration = Duration::from_secs(10);

/// All versions of an upstream.
pub(crate) struct Split {
    pub(crate) main: Arc<Cluster>,
    pub(crate) versions: Vec<Version>,
}

/// A version beside the main one (canary, blue or green).
pub(crate) struct Version {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) percent: u32,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// A cluster that gets copies of calls, whose answers are dropped (shadow traffic).
pub(crate) struct Mirror {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) percent: u32,
    pub(crate) permits: Arc<Semaphore>,
}

impl Split {
    /// Returns the version for a call: the first whose headers it has, else one by weight.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> &Arc<Cluster> {
        if self.versions.is_empty() {
            return &self.main;
        }
        let named = self
            .versions
            .iter()
            .find(|version| version.matches(headers));
        let version = named.or_else(|| self.by_weight(rand::random_range(0..100)));
        version.map_or(&self.main, |version| &version.cluster)
    }

    fn by_weight(&self, mut percent: u32) -> Option<&Version> {
        self.versions.iter().find(|version| {
            let is_hit = percent < version.percent;
            percent = percent.saturating_sub(version.percent);
            is_hit
        })
    }
}

impl Version {
    fn matches(&self, headers: &HeaderMap) -> bool {
        let has = |(name, value): &(HeaderName, HeaderValue)| {
            headers.get_all(name).iter().any(|found| found == value)
        };
        !self.headers.is_empty() && self.headers.iter().all(has)
    }
}

impl Mirror {
    /// Sends a copy of a sampled call, within the limit of copies. An incomplete request is not
    /// copied: it would be slowed down to the pace of the mirror.
    pub(crate) fn copy(&self, head: &Parts, payload: &Payload, deadline: Option<Instant>) {
        let Payload::Whole(bytes) = payload else {
            return;
        };
        if rand::random_range(0..100) >= self.percent {
            return;
        }
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return;
        };
        let (head, bytes, cluster) = (head.clone(), bytes.clone(), self.cluster.clone());
        let limit = Instant::now() + MIRROR_TIME_MAX;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        tokio::spawn(async move {
            let copy = send(&cluster, head, bytes);
            // A failed copy has no consequence.
            let _ = timeout_at(limit, copy).await;
            drop(permit);
        });
    }
}

async fn send(cluster: &Cluster, head: Parts, bytes: bytes::Bytes) {
    if cluster.ready().await.is_err() {
        return;
    }
    let Some(endpoint) = cluster.pick(&[]) else {
        return;
    };
    let mut payload = Payload::Whole(bytes);
    match exchange::send(&endpoint, head, &mut payload, None).await {
        Ok(answer) => {
            endpoint.stats.answered(answer.source.sent_at().elapsed());
            let mut body = answer.source;
            while let Some(Ok(_)) = body.frame().await {}
        }
        Err(failure) => {
            tracing::debug!(message = failure.status.message(), "mirrored call failed");
            cluster.failed(&endpoint, Duration::ZERO);
        }
    }
}
