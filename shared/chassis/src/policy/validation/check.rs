//! Checks of a decoded message against its compiled rules, with the paths that protovalidate writes.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::plan::ValueRules;
use super::plan::{Bounds, Check, Elements, FieldRules, Ignore, MessageRules, Test, Unit};
use crate::error::Violation;

/// A refusal lists no more: a long request that is wrong everywhere must not make a longer answer.
const VIOLATIONS_MAX: usize = 64;

/// U+0000 is text in protobuf and in none of our databases: PostgreSQL can't store it, so a handler that got it could
/// only fail, and a saga that carried it could only retry for ever. The id is ours, protovalidate has no such rule.
const NO_NUL: (&str, &str) = ("string.no_nul", "must not contain U+0000");

/// The rules of every message that has some, by full name.
pub(super) type RulesByName = HashMap<String, MessageRules>;

/// Returns what is wrong with `message`, which `wire` was decoded to, at most [`VIOLATIONS_MAX`] of it.
///
/// Messages nest no deeper than prost-reflect decodes, which is 100.
pub(super) fn violations(
    rules: &RulesByName,
    message: &DynamicMessage,
    wire: &[u8],
) -> Vec<Violation> {
    let mut inspection = Inspection {
        rules,
        path: String::new(),
        found: Vec::new(),
    };
    inspection.message(message);
    // Text lies on the wire as it is: without a zero byte there is no NUL, and most messages have none.
    if wire.contains(&0) {
        inspection.texts(message);
    }
    inspection.found
}

struct Inspection<'a> {
    rules: &'a RulesByName,
    path: String,
    found: Vec<Violation>,
}

// === impl Inspection ===

impl Inspection<'_> {
    fn message(&mut self, message: &DynamicMessage) {
        let descriptor = message.descriptor();
        if let Some(rules) = self.rules.get(descriptor.full_name()) {
            for oneof in &rules.required_oneofs {
                if !oneof.fields().any(|field| message.has_field(&field)) {
                    self.at(Step::Field(oneof.name()), |inspection| {
                        inspection.report("required", "exactly one field is required in oneof");
                    });
                }
            }
            for field in &rules.fields {
                self.at(Step::Field(field.field.name()), |inspection| {
                    inspection.field(field, message);
                });
            }
        }
        self.children(message);
    }

    fn field(&mut self, rules: &FieldRules, message: &DynamicMessage) {
        let field = &rules.field;
        let set = message.has_field(field);
        if rules.value.ignore == Ignore::Always {
            return;
        }
        if !set && rules.required {
            return self.report("required", "value is required");
        }
        // Without presence, zero is a value like any other: `string.min_len` refuses the empty one.
        if !set && (field.supports_presence() || rules.value.ignore == Ignore::IfZero) {
            return;
        }
        let value = message.get_field(field);
        self.checks(&rules.value.checks, &value);
        match (&rules.elements, &*value) {
            (Elements::Items(rules), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.at(Step::Index(index), |inspection| {
                        inspection.element(rules, item)
                    });
                }
            }
            (Elements::Pairs { keys, values }, Value::Map(pairs)) => {
                for (key, value) in pairs {
                    self.at(Step::Key(key), |inspection| {
                        inspection.element(keys, &Value::from(key.clone()));
                        inspection.element(values, value);
                    });
                }
            }
            _ => {}
        }
    }

    fn element(&mut self, rules: &ValueRules, value: &Value) {
        let ignored = match rules.ignore {
            Ignore::Never => false,
            Ignore::IfZero => is_zero(value),
            Ignore::Always => true,
        };
        if !ignored {
            self.checks(&rules.checks, value);
        }
    }

    // Messages inside of this one have rules of their own, whether their field has some or not.
    fn children(&mut self, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            let own = self.rules.get(message.descriptor().full_name());
            let rules = own.and_then(|own| {
                own.fields
                    .iter()
                    .find(|rules| rules.field.number() == field.number())
            });
            if field.kind().as_message().is_none()
                || rules.is_some_and(|rules| rules.value.ignore == Ignore::Always)
            {
                continue;
            }
            self.at(Step::Field(field.name()), |inspection| match value {
                Value::Message(child) => inspection.message(child),
                Value::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        inspection.child(Step::Index(index), item);
                    }
                }
                Value::Map(pairs) => {
                    for (key, item) in pairs {
                        inspection.child(Step::Key(key), item);
                    }
                }
                _ => {}
            });
        }
    }

    fn child(&mut self, step: Step<'_>, value: &Value) {
        if let Value::Message(child) = value {
            self.at(step, |inspection| inspection.message(child));
        }
    }

    // Everywhere, also where `ignore` passes over the rules: that is stored like the rest.
    fn texts(&mut self, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            self.at(Step::Field(field.name()), |inspection| match value {
                Value::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        inspection.at(Step::Index(index), |inspection| inspection.text(item));
                    }
                }
                Value::Map(pairs) => {
                    for (key, item) in pairs {
                        inspection.at(Step::Key(key), |inspection| {
                            inspection.text(&Value::from(key.clone()));
                            inspection.text(item);
                        });
                    }
                }
                single => inspection.text(single),
            });
        }
    }

    fn text(&mut self, value: &Value) {
        match value {
            Value::String(text) if text.contains('\0') => self.report(NO_NUL.0, NO_NUL.1),
            Value::Message(child) => self.texts(child),
            _ => {}
        }
    }

    fn checks(&mut self, checks: &[Check], value: &Value) {
        for check in checks {
            if !check.test.holds(value) {
                self.report(&check.id, &check.text);
            }
        }
    }

    fn report(&mut self, rule: &str, description: &str) {
        if self.found.len() < VIOLATIONS_MAX {
            self.found.push(Violation {
                field: self.path.clone(),
                description: description.to_owned(),
                rule: rule.to_owned(),
            });
        }
    }

    fn at(&mut self, step: Step<'_>, inspect: impl FnOnce(&mut Self)) {
        if self.found.len() == VIOLATIONS_MAX {
            return;
        }
        let length = self.path.len();
        step.append_to(&mut self.path);
        inspect(self);
        self.path.truncate(length);
    }
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a MapKey),
}

impl Step<'_> {
    fn append_to(&self, path: &mut String) {
        // Writing to a string can't fail.
        let _ = match self {
            Step::Field(name) if path.is_empty() => write!(path, "{name}"),
            Step::Field(name) => write!(path, ".{name}"),
            Step::Index(index) => write!(path, "[{index}]"),
            Step::Key(MapKey::String(key)) => write!(path, "[{key:?}]"),
            Step::Key(MapKey::Bool(key)) => write!(path, "[{key}]"),
            Step::Key(MapKey::I32(key)) => write!(path, "[{key}]"),
            Step::Key(MapKey::I64(key)) => write!(path, "[{key}]"),
            Step::Key(MapKey::U32(key)) => write!(path, "[{key}]"),
            Step::Key(MapKey::U64(key)) => write!(path, "[{key}]"),
        };
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Test::In(allowed) => allowed.contains(value),
            Test::NotIn(refused) => !refused.contains(value),
            Test::Within(bounds) => bounds.hold(value),
            Test::Finite => match value {
                Value::F32(number) => number.is_finite(),
                Value::F64(number) => number.is_finite(),
                _ => true,
            },
            Test::Length(unit, range) => range.contains(&(unit.count(value) as u64)),
            Test::Matches(pattern) => value.as_str().is_some_and(|text| pattern.is_match(text)),
            Test::Prefix(part) => bytes(value).starts_with(part),
            Test::Suffix(part) => bytes(value).ends_with(part),
            Test::Contains(part) => contains(bytes(value), part),
            Test::NotContains(part) => !contains(bytes(value), part),
            Test::Defined(known) => value
                .as_enum_number()
                .is_some_and(|number| known.get_value(number).is_some()),
            Test::Unique => value.as_list().is_none_or(are_unique),
        }
    }
}

// === impl Unit ===

impl Unit {
    fn count(self, value: &Value) -> usize {
        match (self, value) {
            (Unit::Characters, Value::String(text)) => text.chars().count(),
            (Unit::Bytes, value) => bytes(value).len(),
            (Unit::Elements, Value::List(items)) => items.len(),
            (Unit::Elements, Value::Map(pairs)) => pairs.len(),
            _ => 0,
        }
    }
}

// === impl Bounds ===

impl Bounds {
    /// Whether the lower limit is above the upper one: then the values outside of both are meant.
    pub(super) fn exclude_the_middle(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Some((lower, _)), Some((upper, _))) => {
                compare(lower, upper).is_some_and(Ordering::is_gt)
            }
            _ => false,
        }
    }

    // NaN compares with nothing and so is within no bounds.
    fn hold(&self, value: &Value) -> bool {
        let above = self.lower.as_ref().map(|(limit, inclusive)| {
            compare(value, limit).is_some_and(|order| order.is_gt() || *inclusive && order.is_eq())
        });
        let below = self.upper.as_ref().map(|(limit, inclusive)| {
            compare(value, limit).is_some_and(|order| order.is_lt() || *inclusive && order.is_eq())
        });
        match (above, below) {
            (Some(above), Some(below)) if self.exclude_the_middle() => above || below,
            (above, below) => above.unwrap_or(true) && below.unwrap_or(true),
        }
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::I32(left), Value::I32(right)) => left.partial_cmp(right),
        (Value::I64(left), Value::I64(right)) => left.partial_cmp(right),
        (Value::U32(left), Value::U32(right)) => left.partial_cmp(right),
        (Value::U64(left), Value::U64(right)) => left.partial_cmp(right),
        (Value::F32(left), Value::F32(right)) => left.partial_cmp(right),
        (Value::F64(left), Value::F64(right)) => left.partial_cmp(right),
        _ => None,
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::String(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    part.is_empty() || value.windows(part.len()).any(|window| window == part)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::I32(number) | Value::EnumNumber(number) => *number == 0,
        Value::I64(number) => *number == 0,
        Value::U32(number) => *number == 0,
        Value::U64(number) => *number == 0,
        Value::F32(number) => *number == 0.0,
        Value::F64(number) => *number == 0.0,
        Value::String(_) | Value::Bytes(_) => bytes(value).is_empty(),
        _ => false,
    }
}

// By a set, because comparing each with each lets one request cost minutes.
fn are_unique(items: &[Value]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().all(|item| match item {
        Value::Bool(value) => seen.insert(vec![u8::from(*value)]),
        Value::I32(number) | Value::EnumNumber(number) => seen.insert(number.to_le_bytes().into()),
        Value::I64(number) => seen.insert(number.to_le_bytes().into()),
        Value::U32(number) => seen.insert(number.to_le_bytes().into()),
        Value::U64(number) => seen.insert(number.to_le_bytes().into()),
        // Adding zero makes -0 and 0 the same; NaN differs from itself.
        Value::F32(number) => number.is_nan() || seen.insert((number + 0.0).to_le_bytes().into()),
        Value::F64(number) => number.is_nan() || seen.insert((number + 0.0).to_le_bytes().into()),
        other => seen.insert(bytes(other).to_vec()),
    })
}
