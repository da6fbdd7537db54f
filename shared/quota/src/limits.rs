//! The limits of all methods of a contract.

use std::collections::HashMap;
use std::sync::Arc;

use descriptors::{MethodPlan, RateLimitOption};
use serde::Deserialize;

use crate::limit::Limit;

/// The limits of all methods of a contract.
#[derive(Debug, Default)]
pub struct Limits {
    /// By the path of the method, `/package.Service/Method`.
    by_method: HashMap<Box<str>, Arc<[Limit]>>,
}

/// A limit in a configuration: `mesh.v1.RateLimit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitTable {
    /// Scope of the count: calls of one scope are counted together.
    pub by: By,
    /// Units that come in a period.
    pub requests: i64,
    /// The period, as `1s`, `5m`, `1h`, `1d`.
    pub per: String,
    /// How units come.
    pub algorithm: Algorithm,
    /// Most units at once; 0: as many as `requests`.
    pub burst: i64,
    /// Units of one call; 0: one.
    pub cost: i64,
    /// The name; limits of one name share their budgets.
    pub name: String,
    /// The answer while the store is away.
    pub when_away: Away,
}

/// Scope of the count: calls of one scope are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Those of one identity; of anonymous callers, those of one address.
    #[default]
    Caller = 1,
    /// Those with one credential; without one, as `Caller`.
    Credential = 2,
    /// Those from one address.
    Address = 3,
    /// Those of one tenant; without one, as `Caller`.
    Tenant = 4,
    /// All.
    Method = 5,
}

/// How units come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Steadily.
    #[default]
    TokenBucket = 1,
    /// All at once at the start of each window.
    FixedWindow = 2,
}

/// The answer while the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// Each process counts its part of the limit alone.
    #[default]
    LocalShare = 1,
    /// All calls pass.
    Open = 2,
    /// All calls are refused.
    Closed = 3,
}

// === impl Limits ===

impl Limits {
    /// Compiles the limits that `options` gives for each method.
    ///
    /// # Errors
    /// The first method whose limits can't be read, with the reasons.
    pub fn compile<'m>(
        methods: impl IntoIterator<Item = &'m MethodPlan>,
        mut options: impl FnMut(&'m MethodPlan) -> Vec<RateLimitOption>,
    ) -> Result<Self, (String, Vec<String>)> {
        let mut by_method = HashMap::new();
        for method in methods {
            let limits = RateLimitOption::limits(&options(method), method.path());
            let limits = limits.map_err(|problems| (method.path().to_owned(), problems))?;
            if !limits.is_empty() {
                by_method.insert(
                    method.path().into(),
                    limits.iter().map(Limit::new).collect(),
                );
            }
        }
        Ok(Self { by_method })
    }

    /// Returns the limits of a method, by its path.
    pub fn of(&self, method: &str) -> &[Limit] {
        if self.by_method.is_empty() {
            return &[];
        }
        self.by_method.get(method).map_or(&[], |limits| limits)
    }
}

// === impl LimitTable ===

impl LimitTable {
    /// Returns the limit as contracts have it.
    pub fn option(&self) -> RateLimitOption {
        RateLimitOption {
            by: self.by as i32,
            requests: self.requests,
            per: self.per.clone(),
            algorithm: self.algorithm as i32,
            burst: self.burst,
            cost: self.cost,
            name: self.name.clone(),
            when_away: self.when_away as i32,
        }
    }

    /// Checks several limits of one method.
    ///
    /// # Errors
    /// Every mistake, as a sentence.
    pub fn check(tables: &[Self]) -> Result<(), Vec<String>> {
        let options: Vec<RateLimitOption> = tables.iter().map(Self::option).collect();
        RateLimitOption::limits(&options, "").map(drop)
    }
}
