//! Whether a call may be sent more than once.

use contract::{Idempotency, Method, MethodKind};

/// The promise of one call about being sent again.
///
/// As an extension of a request it overrides the method table of the client. Anything but [`Safety::Unknown`] has the request
/// kept until it is answered, so a call whose requests are a stream must not promise anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safety {
    /// The call changes nothing.
    NoSideEffects,
    /// A second identical call has no further effect.
    Idempotent,
    /// Nothing is promised: it is sent again only if no server can have seen it.
    #[default]
    Unknown,
}

impl Safety {
    /// Returns the promise of a method of a contract.
    pub const fn of(method: &Method) -> Self {
        Self::new(method.kind, method.idempotency)
    }

    /// Returns the promise of a method of this kind with this `idempotency_level`.
    ///
    /// A stream of requests is consumed by the first attempt, so its call promises nothing.
    pub const fn new(kind: MethodKind, idempotency: Idempotency) -> Self {
        match (kind, idempotency) {
            (MethodKind::ClientStreaming | MethodKind::BidiStreaming, _) => Self::Unknown,
            (_, Idempotency::NoSideEffects) => Self::NoSideEffects,
            (_, Idempotency::Idempotent) => Self::Idempotent,
            (_, Idempotency::Unknown) => Self::Unknown,
        }
    }

    /// Returns whether the call may be sent again after an attempt with an unknown outcome.
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// Returns whether two attempts of the call may run at once.
    pub const fn is_hedgeable(self) -> bool {
        matches!(self, Self::NoSideEffects)
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

    #[test]
    fn only_single_requests_with_a_promise_are_repeatable() {
        for promise in [Idempotency::NoSideEffects, Idempotency::Idempotent] {
            let repeatable = KINDS.map(|kind| Safety::new(kind, promise).is_repeatable());
            assert_eq!(repeatable, [true, false, true, false], "{promise:?}");
        }
        let repeatable = KINDS.map(|kind| Safety::new(kind, Idempotency::Unknown).is_repeatable());
        assert_eq!(repeatable, [false; 4]);
    }
}
