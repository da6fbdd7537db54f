#![doc = include_str!("../README.md")]

mod access;
mod answers;
mod rate_limit;

pub use access::{Access, Callers};
pub use answers::{Cache, IdempotencyKey, Invalidation, Scope, StoreAway};
pub use rate_limit::{CountedBy, RateLimit, WhenAway};

/// One RPC as its contract declares it. The generator writes a table of these for each build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method {
    /// Path of the HTTP/2 request, `/<package>.<Service>/<Method>`, for example
    /// `/orders.v1.OrderService/GetOrder`.
    pub path: &'static str,
    /// Full name of the request message, for example `orders.v1.GetOrderRequest`.
    pub input: &'static str,
    /// Full name of the response message.
    pub output: &'static str,
    /// The sides that stream.
    pub kind: MethodKind,
    /// `option idempotency_level` of the method.
    pub idempotency: Idempotency,
    /// `option (mesh.v1.criticality)` of the method.
    pub criticality: Criticality,
}

/// The four kinds of RPC (gRPC core concepts, "RPC life cycle").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// A stream of requests, one response.
    ClientStreaming,
    /// One request, a stream of responses.
    ServerStreaming,
    /// Both sides stream.
    BidiStreaming,
}

/// The promise of a method about being called again
/// (`google.protobuf.MethodOptions.IdempotencyLevel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Nothing is promised; the default of a method that does not say.
    Unknown,
    /// The method changes nothing (HTTP "safe").
    NoSideEffects,
    /// A second identical call has no further effect.
    Idempotent,
}

/// The importance of a method while its server is overloaded (`option (mesh.v1.criticality)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Rejected first: background work, prefetching, anything that is tried again later.
    Sheddable,
    /// The default.
    #[default]
    Normal,
    /// Rejected last: what the business stands still without.
    Critical,
}

/// The confidentiality of a field's values (`option (mesh.v1.data_class)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataClass {
    /// For everyone.
    Public,
    /// The default: for those who work with the API.
    #[default]
    Internal,
    /// About a person.
    Personal,
    /// A credential, or as damaging as one.
    Secret,
}

/// A message that the contract declares publishable by `option (mesh.v1.event)`.
pub trait Event: prost::Message + Default + 'static {
    /// Full name of the message, for example `ingest.v1.InvoiceAccepted`.
    const TYPE: &'static str;
    /// The package segment before the version: `ingest` for a message of package `ingest.v1`.
    const CONTEXT: &'static str;
    /// Kind of thing the fact is about; facts of one aggregate and one key are ordered.
    const AGGREGATE: &'static str;

    /// Returns the identity of the aggregate that the fact is about.
    fn key(&self) -> &str;
}

// === impl MethodKind ===

impl MethodKind {
    /// Returns the name for people: `server stream`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStreaming => "client stream",
            Self::ServerStreaming => "server stream",
            Self::BidiStreaming => "bidi stream",
        }
    }

    /// Returns the kind of a method by which sides stream.
    pub const fn new(client_streams: bool, server_streams: bool) -> Self {
        match (client_streams, server_streams) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStreaming,
            (false, true) => Self::ServerStreaming,
            (true, true) => Self::BidiStreaming,
        }
    }
}

// === impl Idempotency ===

impl Idempotency {
    /// Returns the promise of a number of `google.protobuf.MethodOptions.IdempotencyLevel`; numbers
    /// it doesn't have promise nothing.
    pub const fn from_level(level: i32) -> Self {
        match level {
            1 => Self::NoSideEffects,
            2 => Self::Idempotent,
            _ => Self::Unknown,
        }
    }
}

// === impl Criticality ===

impl Criticality {
    /// Returns the criticality of a number of `mesh.v1.Criticality`; others are the default.
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Sheddable,
            3 => Self::Critical,
            _ => Self::Normal,
        }
    }
}

// === impl DataClass ===

impl DataClass {
    /// Returns the class of a number of `mesh.v1.DataClass`; others are the default.
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Public,
            3 => Self::Personal,
            4 => Self::Secret,
            _ => Self::Internal,
        }
    }

    /// Returns the name for documents: `personal`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
            Self::Secret => "secret",
        }
    }

    /// Returns whether values stay out of errors, logs, traces and the desk.
    pub const fn is_confidential(self) -> bool {
        matches!(self, Self::Personal | Self::Secret)
    }
}

/// Returns the name of a gRPC code as `google.rpc.Code` spells it.
pub fn status_code_name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let index = usize::try_from(code).unwrap_or(usize::MAX);
    NAMES.get(index).copied().unwrap_or("UNKNOWN")
}
