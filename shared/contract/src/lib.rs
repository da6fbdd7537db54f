//! What generated code refers to: the methods of a contract with their policy, and the events it declares.

/// One RPC as its contract declares it. The generator writes a table of these for each build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method {
    /// Path of the HTTP/2 request, `/<package>.<Service>/<Method>`, for example `/orders.v1.OrderService/GetOrder`.
    pub path: &'static str,
    /// Full name of the request message, for example `orders.v1.GetOrderRequest`.
    pub input: &'static str,
    /// Full name of the response message.
    pub output: &'static str,
    /// Which sides stream.
    pub kind: MethodKind,
    /// `option idempotency_level` of the method.
    pub idempotency: Idempotency,
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

/// What a method promises about being called again (`google.protobuf.MethodOptions.IdempotencyLevel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Nothing is promised; the default of a method that does not say.
    Unknown,
    /// The method changes nothing (HTTP "safe").
    NoSideEffects,
    /// A second identical call has no further effect.
    Idempotent,
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

// === impl Method ===

impl Method {
    /// Returns whether a client may send the call again without knowing what became of the first one.
    ///
    /// Needs the promise of the contract and a request that can be kept: a stream of requests is gone once it is sent.
    pub const fn retry_safe(&self) -> bool {
        let promised = matches!(
            self.idempotency,
            Idempotency::NoSideEffects | Idempotency::Idempotent
        );
        let replayable = matches!(self.kind, MethodKind::Unary | MethodKind::ServerStreaming);
        promised && replayable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [MethodKind; 4] = [
        MethodKind::Unary,
        MethodKind::ClientStreaming,
        MethodKind::ServerStreaming,
        MethodKind::BidiStreaming,
    ];

    fn safe(kind: MethodKind, idempotency: Idempotency) -> bool {
        Method {
            path: "/p.v1.S/M",
            input: "p.v1.MRequest",
            output: "p.v1.MResponse",
            kind,
            idempotency,
        }
        .retry_safe()
    }

    #[test]
    fn a_promise_makes_single_request_methods_retry_safe() {
        for promise in [Idempotency::NoSideEffects, Idempotency::Idempotent] {
            assert_eq!(
                KINDS.map(|kind| safe(kind, promise)),
                [true, false, true, false],
                "{promise:?}"
            );
        }
    }

    #[test]
    fn nothing_is_retry_safe_without_a_promise() {
        assert_eq!(
            KINDS.map(|kind| safe(kind, Idempotency::Unknown)),
            [false; 4]
        );
    }
}
