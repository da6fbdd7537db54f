//! Counts of verifications, cache hits and fetches.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// The counts of one process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    verifications: Family<Verification, Counter>,
    cache_hits: Counter,
    fetches: Family<Fetch, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verification {
    /// `accepted`, or the reason of a rejection.
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fetch {
    /// The configured name of the issuer or list.
    source: String,
    outcome: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Counts a credential that was verified, with the reason if it was rejected.
    pub(crate) fn verified(&self, rejected: Option<&'static str>) {
        let outcome = rejected.unwrap_or("accepted");
        let verification = Verification { outcome };
        self.verifications.get_or_create(&verification).inc();
    }

    /// Counts a credential that was found in the cache.
    pub(crate) fn hit(&self) {
        self.cache_hits.inc();
    }

    /// Counts a request to an issuer.
    pub(crate) fn fetched(&self, source: &str, succeeded: bool) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        let source = source.to_owned();
        let fetch = Fetch { source, outcome };
        self.fetches.get_or_create(&fetch).inc();
    }

    /// Writes all counts.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "auth_verifications";
        let help = "Credentials verified, by outcome";
        let family = &self.verifications;
        family.encode(encoder.encode_descriptor(name, help, None, family.metric_type())?)?;
        let name = "auth_cache_hits";
        let help = "Credentials found in the cache of verified ones";
        let counter = &self.cache_hits;
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        let name = "auth_fetches";
        let help = "Requests for keys, introspection and revocations, by outcome";
        let family = &self.fetches;
        family.encode(encoder.encode_descriptor(name, help, None, family.metric_type())?)
    }
}
