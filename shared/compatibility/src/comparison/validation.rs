//! Rules of `buf.validate` that reject requests which were valid, as far as two sets of rules can
//! be compared.

use descriptors::MessageId;
use validation::rules::{Bounds, Check, Constant, Ignore, OwnRules, Test, ValueRules};

use super::messages::change;
use super::{Breakage, Comparison};

/// The last word about a value that has no rule.
const NO_RULE: &str = "no such rule";

impl Comparison<'_> {
    /// First what the empty message breaks only now, which tells everything that a caller has to
    /// send from now on; then the rules of the fields that both have.
    pub(super) fn validation(&mut self, old: MessageId, new: MessageId) {
        let (before, after) = (self.before.contract, self.after.contract);
        let was = before.validation.of_empty(old);
        let is = after.validation.of_empty(new);
        let known = |path: &str, rule: &str| {
            let mut known = was.listed.iter();
            known.any(|own| own.path == path && own.rule == rule)
        };
        let added = is.listed.iter().filter(|own| !known(&own.path, &own.rule));
        let mut reported = Vec::new();
        for violation in added {
            let now = format!("{}: {}", violation.rule, violation.message);
            reported.push((violation.path.clone(), violation.rule.clone()));
            self.rule_change(new, &violation.path, NO_RULE, &now);
        }
        let (old_rules, new_rules) = (
            &before.validation.rules().messages,
            &after.validation.rules().messages,
        );
        let new_plan = after.types.message(new);
        for (at, field) in before.types.message(old).fields.iter().enumerate() {
            let Some(index) = new_plan.by_number(field.number) else {
                continue;
            };
            let rules = new_rules.get(new).and_then(|rules| rules.fields.get(index));
            let Some(now) = rules.and_then(|rules| rules.own.as_deref()) else {
                continue;
            };
            let rules = old_rules.get(old).and_then(|rules| rules.fields.get(at));
            let none = OwnRules::default();
            let then = rules
                .and_then(|rules| rules.own.as_deref())
                .unwrap_or(&none);
            for (was, is) in stricter(then, now) {
                let key = (field.json_name.to_string(), is.id.to_string());
                if !reported.contains(&key) {
                    let is = format!("{}: {}", is.id, is.text);
                    self.rule_change(new, &field.name, &was, &is);
                }
            }
        }
    }

    fn rule_change(&mut self, id: MessageId, name: &str, before: &str, after: &str) {
        let change = change(&self.after, id, name, Breakage::Validation, before, after);
        self.report(change);
    }
}

/// Returns the new checks that reject what the old ones let pass, each with what was there before.
fn stricter<'r>(old: &'r OwnRules, new: &'r OwnRules) -> Vec<(String, &'r Check)> {
    let mut found = Vec::new();
    let lists = [
        (&old.count, &new.count, Ignore::Never, Ignore::Never),
        values(&old.value, &new.value),
        values(&old.items, &new.items),
        values(&old.keys, &new.keys),
    ];
    for (old, new, was_ignored, is_ignored) in lists {
        let old: &[Check] = if was_ignored == Ignore::Always {
            &[]
        } else {
            old
        };
        if is_ignored == Ignore::Always {
            continue;
        }
        let sees_zero = was_ignored == Ignore::IfZero && is_ignored == Ignore::Never;
        let narrower = new
            .iter()
            .filter(|check| sees_zero || is_stricter(old, check));
        found.extend(narrower.map(|check| (same_kind(old, check), check)));
    }
    let unique = new.unique.iter().filter(|_| old.unique.is_none());
    found.extend(unique.map(|check| (NO_RULE.to_owned(), check)));
    found
}

fn values<'r>(
    old: &'r ValueRules,
    new: &'r ValueRules,
) -> (&'r Vec<Check>, &'r Vec<Check>, Ignore, Ignore) {
    (&old.checks, &new.checks, old.ignore, new.ignore)
}

/// Returns the old check that says something of the same kind.
fn same_kind(old: &[Check], new: &Check) -> String {
    let kind = std::mem::discriminant(&new.test);
    let check = old
        .iter()
        .find(|own| std::mem::discriminant(&own.test) == kind);
    check.map_or_else(
        || NO_RULE.to_owned(),
        |own| format!("{}: {}", own.id, own.text),
    )
}

/// Returns whether a value may pass all of `old` and not `new`. Of two rules that can't be compared
/// the new one counts as stricter.
fn is_stricter(old: &[Check], new: &Check) -> bool {
    !old.iter().any(|own| implies(&own.test, &new.test)) && !lengths_imply(old, &new.test)
}

/// Returns whether what passes the first also passes the second.
fn implies(old: &Test, new: &Test) -> bool {
    use Test::*;
    match (old, new) {
        (In(old), In(new)) => within(old.constants(), new.constants()),
        (NotIn(old), NotIn(new)) => within(new.constants(), old.constants()),
        (In(old), NotIn(new)) => !old
            .constants()
            .iter()
            .any(|own| new.constants().contains(own)),
        (Within(old), Within(new)) => bounds_imply(old, new),
        (Matches { source: old, .. }, Matches { source: new, .. }) => old == new,
        (Prefix(old), Prefix(new)) => old.starts_with(new),
        (Suffix(old), Suffix(new)) => old.ends_with(new),
        (Contains(old), Contains(new)) | (NotContains(old), NotContains(new)) => old == new,
        (Defined(old), Defined(new)) => within(old, new),
        (Format(old), Format(new)) => old == new,
        (Sizes(old), Sizes(new)) => old == new,
        (NearNow(old), NearNow(new)) => old <= new,
        (PathsEqual(old), PathsEqual(new)) => old == new,
        (PathsWithin(old), PathsWithin(new)) => within(old, new),
        (PathsOutside(old), PathsOutside(new)) => within(new, old),
        (Finite, Finite) | (NotEmpty, NotEmpty) | (Unique, Unique) => true,
        (BeforeNow, BeforeNow) | (AfterNow, AfterNow) => true,
        _ => false,
    }
}

fn within<T: PartialEq>(inner: &[T], outer: &[T]) -> bool {
    inner.iter().all(|value| outer.contains(value))
}

/// Least and most lengths may be rules of their own: together they imply a range.
fn lengths_imply(old: &[Check], new: &Test) -> bool {
    let Test::Length(unit, least, most) = new else {
        return false;
    };
    let (mut low, mut high) = (0, u64::MAX);
    for check in old {
        if let Test::Length(own, least, most) = check.test
            && own == *unit
        {
            (low, high) = (low.max(least), high.min(most));
        }
    }
    *least <= low && high <= *most
}

/// Limits that exclude a middle instead of enclosing one (`gt` above `lt`) are compared for being
/// the same only.
fn bounds_imply(old: &Bounds, new: &Bounds) -> bool {
    if is_inverted(old) || is_inverted(new) {
        return old.lower == new.lower && old.upper == new.upper;
    }
    let lower = match (&old.lower, &new.lower) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some((old, old_in)), Some((new, new_in))) => match compare(old, new) {
            Some(std::cmp::Ordering::Greater) => true,
            Some(std::cmp::Ordering::Equal) => *new_in || !*old_in,
            _ => false,
        },
    };
    let upper = match (&old.upper, &new.upper) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some((old, old_in)), Some((new, new_in))) => match compare(old, new) {
            Some(std::cmp::Ordering::Less) => true,
            Some(std::cmp::Ordering::Equal) => *new_in || !*old_in,
            _ => false,
        },
    };
    lower && upper
}

fn is_inverted(bounds: &Bounds) -> bool {
    match (&bounds.lower, &bounds.upper) {
        (Some((lower, _)), Some((upper, _))) => {
            compare(lower, upper) == Some(std::cmp::Ordering::Greater)
        }
        _ => false,
    }
}

fn compare(one: &Constant, other: &Constant) -> Option<std::cmp::Ordering> {
    match (one, other) {
        (Constant::Int(one), Constant::Int(other)) => Some(one.cmp(other)),
        (Constant::Real(one), Constant::Real(other)) => one.partial_cmp(other),
        _ => None,
    }
}
