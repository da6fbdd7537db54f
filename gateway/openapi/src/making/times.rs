//! Times and durations for examples.

use descriptors::MessageId;
use prost::Message;
use validation::rules::{Constant, ValueRules};

use super::numbers::{constants, limits};
use crate::checked::Checker;

const NANOS: i128 = 1_000_000_000;

/// Times before and after every reader's own, and one of late.
const TIMES: [&str; 3] = [
    "\"2026-01-31T09:30:00Z\"",
    "\"2001-01-31T09:30:00Z\"",
    "\"2101-01-31T09:30:00Z\"",
];

const DURATIONS: [&str; 6] = [
    "\"1.500s\"",
    "\"60s\"",
    "\"1s\"",
    "\"0.100s\"",
    "\"3600s\"",
    "\"0s\"",
];

/// `google.protobuf.Timestamp` and `google.protobuf.Duration`, which have the same fields.
#[derive(Clone, PartialEq, prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

pub(super) fn timestamps(
    checker: &Checker<'_>,
    id: MessageId,
    rules: Option<&ValueRules>,
) -> Vec<String> {
    let exact = exact(rules).into_iter().filter_map(|nanos| {
        let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
        let nanos = i32::try_from(nanos.rem_euclid(NANOS)).ok()?;
        Some(Time { seconds, nanos })
    });
    all(checker, id, exact, &TIMES)
}

pub(super) fn durations(
    checker: &Checker<'_>,
    id: MessageId,
    rules: Option<&ValueRules>,
) -> Vec<String> {
    let exact = exact(rules).into_iter().filter_map(|nanos| {
        let seconds = i64::try_from(nanos / NANOS).ok()?;
        let nanos = i32::try_from(nanos % NANOS).ok()?;
        Some(Time { seconds, nanos })
    });
    all(checker, id, exact, &DURATIONS)
}

/// Returns the common values, then those that rules name.
fn all(
    checker: &Checker<'_>,
    id: MessageId,
    exact: impl Iterator<Item = Time>,
    common: &[&str],
) -> Vec<String> {
    let exact = exact.filter_map(|time| checker.text(id, &time.encode_to_vec()));
    let common = common.iter().map(|text| (*text).to_owned());
    common.chain(exact).collect()
}

/// Returns the nanoseconds that rules name.
fn exact(rules: Option<&ValueRules>) -> Vec<i128> {
    let listed = constants(rules)
        .into_iter()
        .filter_map(|constant| match constant {
            Constant::Int(nanos) => Some(*nanos),
            _ => None,
        });
    let limits = limits(rules).into_iter();
    // Whole seconds next to a limit are nicer to read than the nanosecond next to it.
    let rounded = limits
        .clone()
        .flat_map(|limit| [limit - NANOS, limit + NANOS]);
    listed.chain(limits).chain(rounded).collect()
}
