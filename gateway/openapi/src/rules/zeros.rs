//! Rules that the zero of a field breaks.

use validation::rules::{Constant, Ignore, OwnRules, Test};

/// Returns whether a field without presence can't be left out, as its zero breaks a rule.
pub(crate) fn refuses_zero(rules: &OwnRules) -> bool {
    let checks = rules.value.checks.iter().chain(&rules.count);
    let is_active = rules.value.ignore == Ignore::Never;
    is_active && checks.into_iter().any(|check| excludes_zero(&check.test))
}

fn excludes_zero(test: &Test) -> bool {
    let is_zero = |value: &Constant| match value {
        Constant::Bool(value) => !value,
        Constant::Int(value) => *value == 0,
        Constant::Real(value) => *value == 0.0,
        Constant::Bytes(value) => value.is_empty(),
    };
    match test {
        Test::Length(_, least, _) => *least > 0,
        Test::NotEmpty => true,
        Test::Matches { pattern, .. } => !pattern.is_match(b""),
        Test::Prefix(part) | Test::Suffix(part) | Test::Contains(part) => !part.is_empty(),
        Test::In(values) => !values.constants().iter().any(is_zero),
        Test::NotIn(values) => values.constants().iter().any(is_zero),
        Test::Within(bounds) if !bounds.exclude_the_middle() => match &bounds.lower {
            Some((Constant::Int(limit), true)) => *limit > 0,
            Some((Constant::Int(limit), false)) => *limit >= 0,
            Some((Constant::Real(limit), true)) => *limit > 0.0,
            Some((Constant::Real(limit), false)) => *limit >= 0.0,
            _ => false,
        },
        _ => false,
    }
}
