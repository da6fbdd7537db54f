//! Rules of text and of whole numbers laid out for speed: one comparison for all limits, and a list
//! of what is left to test.

use std::ops::RangeInclusive;

use super::table::{Bounds, Check, Constant, Test, Unit, ValueRules};
use super::value::{Now, Value};

/// The first test.
#[derive(Debug)]
pub(crate) struct Quick {
    /// Lengths in bytes, or whole numbers, that keep all limits.
    sure: RangeInclusive<i64>,
    /// The checks that are no limits.
    others: Box<[u32]>,
}

// === impl Quick ===

impl Quick {
    pub(crate) fn new(checks: &[Check]) -> Self {
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        let mut others = Vec::new();
        for (index, check) in (0..).zip(checks) {
            match limits(&check.test) {
                Some(range) => {
                    low = low.max(*range.start());
                    high = high.min(*range.end());
                }
                None => others.push(index),
            }
        }
        Quick {
            sure: low..=high,
            others: others.into(),
        }
    }

    fn others<'c>(&self, checks: &'c [Check]) -> impl Iterator<Item = &'c Test> {
        let check = |index: &u32| checks.get(*index as usize);
        self.others
            .iter()
            .filter_map(check)
            .map(|check| &check.test)
    }
}

impl Default for Quick {
    fn default() -> Self {
        Quick::new(&[])
    }
}

/// Returns the lengths or numbers that pass for sure, if the test is about limits.
fn limits(test: &Test) -> Option<RangeInclusive<i64>> {
    let bounded = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    match test {
        Test::Length(Unit::Bytes, min, max) => Some(bounded(*min)..=bounded(*max)),
        // A character takes one to four bytes.
        Test::Length(Unit::Characters, min, max) => {
            let bytes = min.saturating_sub(1).saturating_mul(4);
            let least = if *min == 0 {
                0
            } else {
                bytes.saturating_add(1)
            };
            Some(bounded(least)..=bounded(*max))
        }
        Test::Within(bounds) if !bounds.exclude_the_middle() => whole(bounds),
        _ => None,
    }
}

/// Bounds of whole numbers, cut to 64 bits.
fn whole(bounds: &Bounds) -> Option<RangeInclusive<i64>> {
    let limit = |bound: &Option<(Constant, bool)>, none: i128, step: i128| match bound {
        None => Some(none),
        Some((Constant::Int(limit), true)) => Some(*limit),
        Some((Constant::Int(limit), false)) => Some(limit + step),
        Some(_) => None,
    };
    let low = limit(&bounds.lower, i128::from(i64::MIN), 1)?;
    let high = limit(&bounds.upper, i128::from(i64::MAX), -1)?;
    let cut = |limit: i128| limit.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    match low > high || low > i128::from(i64::MAX) || high < i128::from(i64::MIN) {
        // None passes, or none of 64 bits: the check itself says no.
        true => None,
        false => Some(cut(low)..=cut(high)),
    }
}

// === impl ValueRules ===

impl ValueRules {
    /// Returns whether text keeps the rules; it is known to be UTF-8.
    #[inline]
    pub(crate) fn hold_text(&self, text: &[u8], now: &Now) -> bool {
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        if !self.quick.sure.contains(&length) {
            return self.hold(&Value::Text(text), now);
        }
        self.quick
            .others(&self.checks)
            .all(|test| test.holds_text(text, now))
    }

    /// Returns whether a whole number keeps the rules.
    #[inline]
    pub(crate) fn hold_int(&self, number: i64, now: &Now) -> bool {
        self.quick.sure.contains(&number)
            && self
                .quick
                .others(&self.checks)
                .all(|test| test.holds(&Value::Int(i128::from(number)), now))
    }
}

// === impl Test ===

impl Test {
    fn holds_text(&self, text: &[u8], now: &Now) -> bool {
        match self {
            Test::Matches { pattern, .. } => pattern.is_match(text),
            Test::Prefix(part) => text.starts_with(part),
            Test::In(allowed) => allowed.has_bytes(text),
            _ => self.holds(&Value::Text(text), now),
        }
    }
}
