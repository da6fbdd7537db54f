//! How often a method may be called.

use std::time::Duration;

/// A limit of a method's calls (`option (mesh.v1.rate_limit)`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// The name; limits of one name share their budgets.
    pub name: Box<str>,
    /// Scope of the count: calls of one scope are counted together.
    pub by: CountedBy,
    /// Units that come in a period.
    pub requests: u64,
    /// The period.
    pub period: Duration,
    /// Whether all units come at once, at the start of a period; otherwise steadily.
    pub is_window: bool,
    /// Most units at once; of a window as many as `requests`.
    pub burst: u64,
    /// Units that one call takes.
    pub cost: u64,
    /// The answer while the common store is away.
    pub when_away: WhenAway,
}

/// Scope of the count: calls of one scope are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountedBy {
    /// Those of one identity; of anonymous callers, those of one address.
    #[default]
    Caller,
    /// Those with one credential, such as an API key; without one, as `Caller`.
    Credential,
    /// Those from one client address.
    Address,
    /// Those of one tenant; without one, as `Caller`.
    Tenant,
    /// All.
    Method,
}

/// The answer while the store is away in which gateways count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhenAway {
    /// Each gateway counts its part of the limit alone.
    #[default]
    LocalShare,
    /// All calls pass.
    Open,
    /// All calls are refused.
    Closed,
}

// === impl CountedBy ===

impl CountedBy {
    /// Returns the name in documents and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Credential => "credential",
            Self::Address => "address",
            Self::Tenant => "tenant",
            Self::Method => "method",
        }
    }
}

// === impl WhenAway ===

impl WhenAway {
    /// Returns the name in documents and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalShare => "local_share",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}
