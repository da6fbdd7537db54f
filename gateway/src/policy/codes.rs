//! The HTTP status of gRPC codes, where an upstream has its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chassis::config::ConfigError;
use http::StatusCode;

use crate::failure::Failure;
use crate::settings::reject_key;

/// The keys under `[upstream.NAME.http_status]`: HTTP status by gRPC code.
pub(crate) type StatusTable = BTreeMap<String, u16>;

/// HTTP statuses by gRPC code.
pub(crate) type Statuses = BTreeMap<i32, u16>;

/// The HTTP statuses of all upstreams.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeRules(HashMap<String, Arc<Statuses>>);

/// Checks the table of an upstream.
///
/// # Errors
/// Names the key that is no gRPC code from 1 to 2^31 - 1, or has no status from 400 to 599.
pub(crate) fn validate(upstream: &str, table: &StatusTable) -> Result<(), ConfigError> {
    for (code, status) in table {
        let key = format!("upstream.{upstream}.http_status.{code}");
        if !code.parse::<i32>().is_ok_and(|code| code > 0) {
            return reject_key(&key, "expected the number of a gRPC code, 1 to 2147483647");
        }
        if !(400..=599).contains(status) {
            let problem = format!("expected an HTTP status from 400 to 599, got {status}");
            return reject_key(&key, &problem);
        }
    }
    Ok(())
}

// === impl CodeRules ===

impl CodeRules {
    /// The tables of all upstreams by name, which are [valid](validate).
    pub(crate) fn new<'a>(tables: impl Iterator<Item = (&'a String, &'a StatusTable)>) -> Self {
        let parsed = |table: &StatusTable| {
            let entries = table.iter();
            let entries = entries.filter_map(|(code, status)| Some((code.parse().ok()?, *status)));
            Arc::new(entries.collect())
        };
        let filled = tables.filter(|(_, table)| !table.is_empty());
        Self(
            filled
                .map(|(name, table)| (name.clone(), parsed(table)))
                .collect(),
        )
    }

    /// Returns the statuses of an upstream; `None` if it has no table.
    pub(crate) fn of(&self, upstream: &str) -> Option<&Arc<Statuses>> {
        self.0.get(upstream)
    }

    /// Sets the HTTP status of a failed call to an upstream, unless the failure has its own.
    pub(crate) fn apply(&self, upstream: &str, failure: Failure) -> Failure {
        let code = rpc::error::code(&failure.status);
        let status = self.of(upstream).and_then(|table| table.get(&code));
        let status = status.and_then(|status| StatusCode::from_u16(*status).ok());
        Failure {
            http: failure.http.or(status),
            ..failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_does_not_fit_is_named() {
        for (code, status, problem) in [
            ("0", 400, "number of a gRPC code"),
            ("-1", 400, "number of a gRPC code"),
            ("NOT_FOUND", 400, "number of a gRPC code"),
            ("2147483648", 400, "number of a gRPC code"),
            ("2000", 200, "400 to 599, got 200"),
            ("2000", 600, "400 to 599, got 600"),
        ] {
            let table = StatusTable::from([(code.to_owned(), status)]);
            let error = validate("orders", &table).unwrap_err().to_string();
            let key = format!("`upstream.orders.http_status.{code}`");
            assert!(error.contains(&key) && error.contains(problem), "{error}");
        }
        let table = StatusTable::from([("2000".to_owned(), 400)]);
        validate("orders", &table).unwrap();
    }
}
