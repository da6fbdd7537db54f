//! Deadlines: the `grpc-timeout` header, and the deadline of the current task.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::error::Fault;

#[cfg(test)]
mod tests;

/// Request header of the time that is left (gRPC over HTTP/2, "Timeout").
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The same section allows at most 8 digits.
const DIGITS_MAX: usize = 8;
const VALUE_MAX: u128 = 99_999_999;

/// Units and their nanoseconds, finest first: a remaining time is written as exactly as 8 digits
/// allow.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Returns the time left for the current call; `None` without a deadline, zero once it has passed.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs a future in which [`remaining`] counts down to `deadline`, or to an earlier one that is set
/// already.
///
/// The future is not stopped at the deadline; calls through the `client` crate are.
pub async fn scope<F: Future>(deadline: Instant, future: F) -> F::Output {
    let earliest = current().map_or(deadline, |outer| outer.min(deadline));
    DEADLINE.scope(earliest, future).await
}

/// Reads `grpc-timeout` as an instant, counted from now.
///
/// # Errors
/// INVALID_ARGUMENT for a value that is not 1 to 8 digits and a unit out of `HMSmun`.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Instant>, Fault> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let timeout = parse(value.as_bytes()).ok_or_else(|| {
        Fault::invalid_argument(
            "INVALID_TIMEOUT",
            "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
        )
    })?;
    // A deadline beyond what the clock can hold is no deadline.
    Ok(Instant::now().checked_add(timeout))
}

/// Runs a closure under `deadline`, as [`scope`] does with a future; the current deadline is
/// replaced.
pub fn sync_scope<T>(deadline: Instant, function: impl FnOnce() -> T) -> T {
    DEADLINE.sync_scope(deadline, function)
}

/// Returns the deadline of the current call.
pub fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Writes the time until `deadline` as a value of `grpc-timeout`.
pub fn header_value(deadline: Instant) -> HeaderValue {
    let nanos = deadline
        .saturating_duration_since(Instant::now())
        .as_nanos();
    let (unit, value) = UNITS
        .iter()
        .map(|(unit, length)| (*unit, nanos / length))
        .find(|(_, value)| *value <= VALUE_MAX)
        .unwrap_or((b'H', VALUE_MAX));
    let text = format!("{value}{}", char::from(unit));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, length) = UNITS.iter().find(|(name, _)| name == unit)?;
    let amount: u128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let nanos = amount * length;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}
