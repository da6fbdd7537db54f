//! The headers that tell callers about their limits (draft-ietf-httpapi-ratelimit-headers-10).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limit::{Limit, Standing};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The notice of an answer to its caller; empty where the method has no limits.
#[derive(Debug, Default)]
pub struct Notice {
    limits: String,
    policies: String,
}

// === impl Notice ===

impl Notice {
    /// Adds a limit and what is left of it. Seconds are rounded up.
    pub fn add(&mut self, limit: &Limit, standing: &Standing) {
        let separator = if self.limits.is_empty() { "" } else { ", " };
        let (name, rule) = (&limit.name, limit.rule());
        let (left, reset) = (
            standing.remaining,
            standing.reset.as_millis().div_ceil(1000),
        );
        let window = rule.period.div_ceil(1000);
        // Writing to a string does not fail.
        let _ = write!(self.limits, "{separator}\"{name}\";r={left};t={reset}");
        let _ = write!(
            self.policies,
            "{separator}\"{name}\";q={};w={window}",
            rule.units
        );
    }

    /// Sets the headers of an answer.
    pub fn put(self, headers: &mut HeaderMap) {
        if self.limits.is_empty() {
            return;
        }
        for (name, value) in [
            (RATE_LIMIT, self.limits),
            (RATE_LIMIT_POLICY, self.policies),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}
