//! The decisions about kept answers and about failures.

use rpc::error::Fault;
use tonic::{Code, Status};

use crate::answer::{Entry, Outcome};
use crate::directives::Directives;

/// The reason of the error for `only-if-cached` without a kept answer.
pub const NOT_CACHED: &str = "NOT_CACHED";

/// The use of a kept answer.
pub(super) enum Verdict {
    Serve(Outcome),
    ServeAndRefresh,
    Ask,
}

/// Decides about a kept answer (RFC 9111 §4.2, RFC 5861).
pub(super) fn verdict(entry: &Entry, policy: &contract::Cache, asked: Directives) -> Verdict {
    let age = entry.age();
    let is_young = asked.max_age.is_none_or(|most| age <= most);
    if asked.no_cache || !is_young {
        return Verdict::Ask;
    }
    if let Some(left) = entry.fresh_for() {
        return match asked.min_fresh.is_none_or(|least| left >= least) {
            true => Verdict::Serve(Outcome::Hit),
            false => Verdict::Ask,
        };
    }
    if asked.min_fresh.is_some() {
        return Verdict::Ask;
    }
    let stale = age.saturating_sub(entry.ttl);
    if stale < policy.stale_while_revalidate && !asked.only_if_cached {
        return Verdict::ServeAndRefresh;
    }
    match asked.max_stale {
        Some(most) if most.is_none_or(|most| stale <= most) => {
            Verdict::Serve(Outcome::Stale("protomesh; hit; detail=max-stale"))
        }
        _ => Verdict::Ask,
    }
}

/// Returns whether a stale answer is better than this error.
pub(super) fn helps(entry: &Entry, policy: &contract::Cache, status: &Status) -> bool {
    let is_failure = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::DataLoss
    );
    is_failure && entry.age().saturating_sub(entry.ttl) < policy.stale_if_error
}

/// Returns whether a call has ended because of the caller that it was made for.
pub(super) fn is_of_the_caller(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// Returns whether another caller may fare better.
pub(super) fn is_of_the_call(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::ResourceExhausted | Code::Unauthenticated | Code::PermissionDenied
    )
}

/// Returns whether an error is the service's answer, rather than the lack of one.
pub(super) fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

/// `only-if-cached` without a kept answer (RFC 9111 §5.2.1.7).
pub(super) fn not_cached() -> Status {
    let message = "`only-if-cached` was asked for, and no usable answer is kept";
    Fault::unavailable(NOT_CACHED, message).into()
}
