//! Numbers for examples: those that rules name, else common ones, else the limits.

use descriptors::Kind;
use validation::rules::{Bounds, Constant, Test, ValueRules};

use crate::digits;

/// Whole numbers that are worth a try.
const COMMON: [i128; 6] = [42, 1, 10, 100, 2, 0];

/// Returns the constants that `in` and `const` list.
pub(super) fn constants(rules: Option<&ValueRules>) -> Vec<&Constant> {
    let tests = rules.into_iter().flat_map(|rules| &rules.checks);
    tests
        .filter_map(|check| match &check.test {
            Test::In(set) => Some(set.constants()),
            _ => None,
        })
        .flatten()
        .collect()
}

/// Returns numbers at the limits of rules, and next to them.
pub(super) fn limits(rules: Option<&ValueRules>) -> Vec<i128> {
    let mut found = Vec::new();
    for bounds in bounds(rules) {
        let ends = [(&bounds.lower, 1), (&bounds.upper, -1)];
        for (end, inward) in ends {
            if let Some((Constant::Int(limit), _)) = end {
                found.extend([*limit, limit + inward]);
            }
        }
    }
    found
}

/// Returns whole numbers as JSON; those of 64 bits as text.
pub(super) fn integers(kind: Kind, rules: Option<&ValueRules>) -> Vec<String> {
    let listed = constants(rules)
        .into_iter()
        .filter_map(|constant| match constant {
            Constant::Int(number) => Some(*number),
            _ => None,
        });
    let all = listed.chain(COMMON).chain(limits(rules));
    let (least, most) = digits::range(kind).unwrap_or((0, 0));
    let all = all.filter(|number| (least..=most).contains(number));
    all.map(|number| number.to_string()).collect()
}

/// Returns floating-point numbers as JSON.
pub(super) fn reals(rules: Option<&ValueRules>) -> Vec<String> {
    let real = |constant: &Constant| match constant {
        Constant::Real(number) => Some(*number),
        Constant::Int(number) => Some(*number as f64),
        _ => None,
    };
    let listed = constants(rules).into_iter().filter_map(real);
    let mut all: Vec<f64> = listed.chain([1.5, 0.5, 1.0, 10.0, 100.0, 0.0]).collect();
    for bounds in bounds(rules) {
        let lower = bounds.lower.as_ref().and_then(|(limit, _)| real(limit));
        let upper = bounds.upper.as_ref().and_then(|(limit, _)| real(limit));
        if let (Some(lower), Some(upper)) = (lower, upper) {
            all.push(lower + (upper - lower) / 2.0);
        }
        all.extend(lower.into_iter().flat_map(|limit| [limit, limit + 1.0]));
        all.extend(upper.into_iter().flat_map(|limit| [limit, limit - 1.0]));
    }
    all.retain(|number| number.is_finite());
    let text = |number: f64| zmij::Buffer::new().format_finite(number).to_owned();
    all.into_iter().map(text).collect()
}

fn bounds(rules: Option<&ValueRules>) -> impl Iterator<Item = &Bounds> {
    let tests = rules.into_iter().flat_map(|rules| &rules.checks);
    tests.filter_map(|check| match &check.test {
        Test::Within(bounds) => Some(bounds),
        _ => None,
    })
}
