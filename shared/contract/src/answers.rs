//! Answers that serve more than one call: `mesh.v1.cache` and `mesh.v1.idempotency_key`.

use std::time::Duration;

/// The cache of a method's answers (`option (mesh.v1.cache)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long an answer is served as it is; above 0.
    pub ttl: Duration,
    /// The callers who may share an answer.
    pub scope: Scope,
    /// Names of request metadata, or aspects of the identity, that the answer depends on.
    pub vary: Vec<String>,
    /// How long after [`Cache::ttl`] an answer is served while a new one is fetched.
    pub stale_while_revalidate: Duration,
    /// How long after [`Cache::ttl`] an answer is served instead of an error of the service.
    pub stale_if_error: Duration,
    /// The events after which answers are out of date.
    pub invalidated_by: Vec<Invalidation>,
}

/// The callers that may share an answer (`mesh.v1.Cache.Scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Calls of one identity.
    #[default]
    Private,
    /// All callers.
    Shared,
}

/// An event that makes answers out of date (`mesh.v1.Cache.Invalidation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Full name of the event's message.
    pub event: String,
    /// Name of the field of the request that equals the event's key; `None` if the event concerns
    /// all answers of the method.
    pub field: Option<String>,
}

/// The idempotency key of a method (`option (mesh.v1.idempotency_key)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Name of the field of the request that holds the key; `None` if a header does.
    pub field: Option<String>,
    /// Whether a call without a key is refused.
    pub is_required: bool,
    /// How long an answer is replayed; above 0.
    pub ttl: Duration,
    /// How calls are answered while the store of answers is away.
    pub store_away: StoreAway,
}

/// The handling of calls while their store is away (`mesh.v1.IdempotencyKey.StoreAway`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreAway {
    /// They are refused with UNAVAILABLE.
    #[default]
    Closed,
    /// They are answered as calls without a key.
    Open,
}

// === impl Cache ===

impl Cache {
    /// Returns how long an answer may be kept.
    pub fn life(&self) -> Duration {
        self.ttl
            .saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }
}

// === impl Scope ===

impl Scope {
    /// Returns the scope of a number of `mesh.v1.Cache.Scope`; others are private.
    pub const fn from_number(number: i32) -> Self {
        match number {
            2 => Self::Shared,
            _ => Self::Private,
        }
    }
}

// === impl StoreAway ===

impl StoreAway {
    /// Returns the handling of a number of `mesh.v1.IdempotencyKey.StoreAway`; others are closed.
    pub const fn from_number(number: i32) -> Self {
        match number {
            2 => Self::Open,
            _ => Self::Closed,
        }
    }
}
