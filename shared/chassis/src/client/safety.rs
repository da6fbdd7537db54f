//! What a call promises about being sent more than once.

use contract::{Idempotency, Method, MethodKind};

/// The promise of one call, as an extension of its request; without one, the method table of the client decides.
///
/// Anything but [`Safety::Unknown`] has the request kept until it is answered, so a call whose requests are a stream
/// must not promise anything.
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
    /// The promise of a method of a contract.
    pub fn of(method: &Method) -> Self {
        match (method.kind, method.idempotency) {
            (MethodKind::ClientStreaming | MethodKind::BidiStreaming, _) => Self::Unknown,
            (_, Idempotency::NoSideEffects) => Self::NoSideEffects,
            (_, Idempotency::Idempotent) => Self::Idempotent,
            (_, Idempotency::Unknown) => Self::Unknown,
        }
    }

    pub(super) fn is_repeatable(self) -> bool {
        self != Self::Unknown
    }

    pub(super) fn is_hedgeable(self) -> bool {
        self == Self::NoSideEffects
    }
}
