//! The facts of a call that the client stack decides by.

use chassis::client::{Caller, Safety};
use http::Extensions;
use transcoder::{Idempotency, MethodKind, MethodPlan};

/// Returns whether a call may be sent again, by the contract. A request stream never is: it is
/// consumed once.
pub(crate) fn safety(method: &MethodPlan) -> Safety {
    match (method.kind(), method.idempotency()) {
        (MethodKind::ClientStreaming | MethodKind::BidiStreaming, _) => Safety::Unknown,
        (_, Idempotency::NoSideEffects) => Safety::NoSideEffects,
        (_, Idempotency::Idempotent) => Safety::Idempotent,
        (_, Idempotency::Unknown) => Safety::Unknown,
    }
}

/// Returns the client that a call is made for, as `policy::client_address` found it, and the
/// method's policy under overload.
pub(crate) fn caller(extensions: &Extensions, method: Option<&MethodPlan>) -> Caller {
    Caller {
        client: extensions.get().cloned().unwrap_or_default(),
        criticality: method.map(MethodPlan::criticality).unwrap_or_default(),
        kind: method.map(MethodPlan::kind),
        holding: extensions.get().cloned(),
        identity: extensions.get().cloned(),
    }
}
