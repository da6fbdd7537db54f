//! An answer as it is kept, and as it is served.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    SET_COOKIE, VARY,
};
use tokio::time::Instant;

use crate::directives::directives;

/// The outcome of a cache for one request (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Metadata that the upstream has sent about how it sent the message.
pub(crate) const OF_TRANSPORT: [HeaderName; 5] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("date"),
];

/// The metadata by which an upstream sets the HTTP status of one request.
const HTTP_CODE: &str = "x-http-code";

/// The one message of a call that went well, with its metadata and trailers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The message on the wire, not compressed.
    pub message: Bytes,
    /// Metadata from before the message.
    pub metadata: HeaderMap,
    /// Trailers.
    pub trailers: HeaderMap,
}

/// An answer for one caller.
#[derive(Clone, Debug)]
pub struct Served {
    /// The answer of the service.
    pub answer: Answer,
    /// Headers about the answer: `cache-control`, `age`, `vary`, `cache-status`.
    pub headers: HeaderMap,
}

/// A kept answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) answer: Answer,
    /// When the service was asked.
    pub(crate) asked: Instant,
    /// How long it is fresh: the contract's time, or less where the service has said so.
    pub(crate) ttl: Duration,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Hit,
    /// Older than its time, with the reason why it is served all the same.
    Stale(&'static str),
    Miss,
    Coalesced,
    Bypassed,
}

impl Answer {
    /// Takes away the service's own word on caching, and what concerns this transport only. Returns
    /// how long the answer is fresh at most; `None` if it must not be kept.
    pub(crate) fn judge(&mut self, policy: &contract::Cache) -> Option<Duration> {
        let asked = directives(&self.metadata);
        self.metadata.remove(CACHE_CONTROL);
        self.metadata.remove(AGE);
        for name in &OF_TRANSPORT {
            self.metadata.remove(name);
        }
        let is_private = asked.is_private && policy.scope == contract::Scope::Shared;
        let is_personal = [&self.metadata, &self.trailers]
            .iter()
            .any(|sent| sent.contains_key(SET_COOKIE) || sent.contains_key(HTTP_CODE));
        if asked.no_store || asked.no_cache || is_private || is_personal {
            return None;
        }
        let most = asked.max_age.unwrap_or(policy.ttl);
        Some(most.min(policy.ttl)).filter(|ttl| !ttl.is_zero())
    }

    /// Returns about how many bytes of memory the answer takes.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.metadata.iter().chain(&self.trailers);
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 32);
        self.message.len() + fields.sum::<usize>() + 256
    }
}

impl Entry {
    pub(crate) fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Returns how long the answer is fresh from now on.
    pub(crate) fn fresh_for(&self) -> Option<Duration> {
        self.ttl
            .checked_sub(self.age())
            .filter(|left| !left.is_zero())
    }
}

impl Outcome {
    /// Returns the headers of an answer with this outcome.
    pub(crate) fn headers(self, entry: Option<&Entry>, policy: &contract::Cache) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        let status = match self {
            Self::Hit => "protomesh; hit",
            Self::Stale(reason) => reason,
            Self::Miss => "protomesh; fwd=uri-miss",
            Self::Coalesced => "protomesh; fwd=uri-miss; collapsed",
            Self::Bypassed => "protomesh; fwd=bypass",
        };
        headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        let Some(entry) = entry else {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return headers;
        };
        let seconds = entry.age().as_secs();
        if matches!(self, Self::Hit | Self::Stale(_)) || seconds > 0 {
            headers.insert(AGE, HeaderValue::from(seconds));
        }
        headers.insert(CACHE_CONTROL, control(entry, policy));
        let names: Vec<&str> = metadata_names(policy).collect();
        if !names.is_empty()
            && let Ok(vary) = HeaderValue::from_str(&names.join(", "))
        {
            headers.insert(VARY, vary);
        }
        headers
    }
}

/// Returns what caches of clients may do. They hear of no event, and don't know by which header the
/// caller was identified: an answer that depends on either is asked for again each time, which an
/// entity tag makes cheap.
fn control(entry: &Entry, policy: &contract::Cache) -> HeaderValue {
    let depends_on_identity = policy.vary.iter().any(|name| name.starts_with("identity."));
    if policy.scope == contract::Scope::Private || depends_on_identity {
        return HeaderValue::from_static("private, no-cache");
    }
    if !policy.invalidated_by.is_empty() {
        return HeaderValue::from_static("public, no-cache");
    }
    let mut text = format!("public, max-age={}", entry.ttl.as_secs());
    for (name, length) in [
        ("stale-while-revalidate", policy.stale_while_revalidate),
        ("stale-if-error", policy.stale_if_error),
    ] {
        if length.as_secs() > 0 {
            text.push_str(&format!(", {name}={}", length.as_secs()));
        }
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-cache"))
}

/// Returns the names of metadata in `vary`.
pub(crate) fn metadata_names(policy: &contract::Cache) -> impl Iterator<Item = &str> {
    let names = policy.vary.iter().map(String::as_str);
    names.filter(|name| !name.starts_with("identity."))
}
