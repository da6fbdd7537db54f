//! Values as rules see them, read from wire bytes, and the tests that they pass or fail.

use std::cmp::Ordering;
use std::sync::OnceLock;
use std::time::SystemTime;

use descriptors::Kind;
use wire::{Read, Reader, unzigzag};

use super::distinct::Identity;
use super::table::{Bounds, Constant, Ignore, Test, Unit, ValueRules};
use crate::options::Clock;

/// One value. Integers of all types are compared as one type, and so are both kinds of floats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i128),
    Real(f64),
    /// Read as UTF-8 only where a test asks for it: bytes are known to be well formed before rules
    /// are looked at.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Paths(Vec<&'a str>),
    /// How many elements a list or a map has.
    Count(u64),
    /// A message that has no value to compare.
    Nothing,
}

/// The time, read once and only where a rule asks for it.
#[derive(Debug, Default)]
pub(crate) struct Now {
    clock: Option<Clock>,
    /// Nanoseconds since the epoch.
    read: OnceLock<i128>,
}

/// Reads what [`Reader::value`] gave.
pub(crate) fn decode(kind: Kind, raw: &[u8]) -> Read<Value<'_>> {
    match kind {
        Kind::String => Ok(Value::Text(raw)),
        Kind::Bytes => Ok(Value::Bytes(raw)),
        Kind::Message(_) | Kind::Group(_) => Ok(Value::Nothing),
        _ => number(kind, &mut Reader::new(raw)),
    }
}

/// Reads the next number of a packed run, or the only one.
pub(crate) fn number<'a>(kind: Kind, reader: &mut Reader<'_>) -> Read<Value<'a>> {
    let int = |value: i64| Value::Int(i128::from(value));
    Ok(match kind {
        Kind::Double => Value::Real(f64::from_bits(reader.fixed64()?)),
        Kind::Float => Value::Real(f64::from(f32::from_bits(reader.fixed32()?))),
        Kind::Fixed32 => int(i64::from(reader.fixed32()?)),
        Kind::Sfixed32 => int(i64::from(reader.fixed32()? as i32)),
        Kind::Fixed64 => Value::Int(i128::from(reader.fixed64()?)),
        Kind::Sfixed64 => int(reader.fixed64()? as i64),
        Kind::Bool => Value::Bool(reader.varint()? != 0),
        Kind::Int32 | Kind::Enum(_) => int(i64::from(reader.varint()? as i32)),
        Kind::Int64 => int(reader.varint()? as i64),
        Kind::Uint32 => int(i64::from(reader.varint()? as u32)),
        Kind::Uint64 => Value::Int(i128::from(reader.varint()?)),
        Kind::Sint32 => int(i64::from(
            unzigzag(u64::from(reader.varint()? as u32)) as i32
        )),
        Kind::Sint64 => int(unzigzag(reader.varint()?)),
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_) => Value::Nothing,
    })
}

/// Reads the next whole number that fits an `i64`; `None` where it is of another kind or cut off.
#[inline]
pub(crate) fn int(kind: Kind, reader: &mut Reader<'_>) -> Option<i64> {
    match kind {
        Kind::Fixed32 => reader.fixed32().ok().map(i64::from),
        Kind::Sfixed32 => reader.fixed32().ok().map(|bits| i64::from(bits as i32)),
        Kind::Sfixed64 => reader.fixed64().ok().map(|bits| bits as i64),
        _ => {
            let number = reader.varint().ok()?;
            match kind {
                Kind::Int32 | Kind::Enum(_) => Some(i64::from(number as i32)),
                Kind::Int64 => Some(number as i64),
                Kind::Uint32 => Some(i64::from(number as u32)),
                Kind::Sint32 => Some(i64::from(unzigzag(u64::from(number as u32)) as i32)),
                Kind::Sint64 => Some(unzigzag(number)),
                _ => None,
            }
        }
    }
}

/// Returns the value of a field that is not on the wire.
pub(crate) fn default<'a>(kind: Kind) -> Value<'a> {
    match kind {
        Kind::String => Value::Text(&[]),
        Kind::Bytes => Value::Bytes(&[]),
        Kind::Bool => Value::Bool(false),
        Kind::Double | Kind::Float => Value::Real(0.0),
        Kind::Message(_) | Kind::Group(_) => Value::Nothing,
        _ => Value::Int(0),
    }
}

// === impl Now ===

impl Now {
    pub(crate) fn new(clock: Option<Clock>) -> Self {
        Now {
            clock,
            read: OnceLock::new(),
        }
    }

    /// Returns the time, if there is a clock.
    pub(crate) fn time(&self) -> Option<SystemTime> {
        let nanos = self.get()?;
        let span = std::time::Duration::from_nanos_u128(nanos.unsigned_abs());
        match nanos < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(span),
            false => SystemTime::UNIX_EPOCH.checked_add(span),
        }
    }

    fn get(&self) -> Option<i128> {
        let clock = self.clock?;
        Some(*self.read.get_or_init(|| since_epoch((clock.0)())))
    }
}

/// Nanoseconds.
fn since_epoch(now: SystemTime) -> i128 {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns whether a field without presence counts as not set. Negative zero counts as set.
    pub(crate) fn is_default(&self) -> bool {
        match self {
            Value::Bool(value) => !value,
            Value::Int(number) => *number == 0,
            Value::Real(number) => number.to_bits() == 0,
            Value::Text(_) | Value::Bytes(_) => self.bytes().is_empty(),
            Value::Count(count) => *count == 0,
            Value::Paths(_) | Value::Nothing => false,
        }
    }

    pub(crate) fn identity(&self) -> Identity<'a> {
        match self {
            Value::Bool(value) => Identity::Int(i128::from(*value)),
            Value::Int(number) => Identity::Int(*number),
            // Adding zero makes -0 and 0 the same.
            Value::Real(number) => Identity::Real((number + 0.0).to_bits()),
            other => Identity::Bytes(other.bytes()),
        }
    }

    /// NaN differs from itself, so that no list has it twice.
    pub(crate) fn is_nan(&self) -> bool {
        matches!(self, Value::Real(number) if number.is_nan())
    }

    /// Returns whether the length is from `min` to `max`.
    fn has_length(&self, unit: Unit, min: u64, max: u64) -> bool {
        let bytes = self.bytes().len() as u64;
        let length = match (unit, self) {
            (Unit::Elements, Value::Count(count)) => *count,
            // A character takes one to four bytes, which mostly says enough.
            (Unit::Characters, _) if bytes <= max && bytes.div_ceil(4) >= min => return true,
            (Unit::Characters, Value::Text(text)) => {
                let is_start = |byte: &&u8| **byte & 0xc0 != 0x80;
                text.iter().filter(is_start).count() as u64
            }
            _ => bytes,
        };
        (min..=max).contains(&length)
    }

    fn compare(&self, limit: &Constant) -> Option<Ordering> {
        match (self, limit) {
            (Value::Int(left), Constant::Int(right)) => Some(left.cmp(right)),
            (Value::Real(left), Constant::Real(right)) => left.partial_cmp(right),
            _ => None,
        }
    }

    pub(crate) fn equals(&self, constant: &Constant) -> bool {
        match (self, constant) {
            (Value::Bool(left), Constant::Bool(right)) => left == right,
            (Value::Int(left), Constant::Int(right)) => left == right,
            (Value::Real(left), Constant::Real(right)) => left == right,
            (Value::Text(_) | Value::Bytes(_), Constant::Bytes(right)) => self.bytes() == &**right,
            _ => false,
        }
    }
}

// === impl ValueRules ===

impl ValueRules {
    /// Returns whether there is something to ask of an item, a key or a value of a map.
    pub(crate) fn is_active(&self) -> bool {
        !self.checks.is_empty() || !self.cel.is_empty() || self.ignore == Ignore::Always
    }

    /// Returns whether `ignore` says that an item, a key or a value of a map, which is always set,
    /// need not keep the rules.
    pub(crate) fn passes_over(&self, value: &Value<'_>) -> bool {
        match self.ignore {
            Ignore::Never => false,
            Ignore::IfZero => match value {
                Value::Int(number) if self.first != 0 => *number == i128::from(self.first),
                _ => value.is_default(),
            },
            Ignore::Always => true,
        }
    }

    /// Returns whether the value keeps the rules.
    #[inline]
    pub(crate) fn hold(&self, value: &Value<'_>, now: &Now) -> bool {
        self.checks.iter().all(|check| check.test.holds(value, now))
    }
}

// === impl Test ===

impl Test {
    /// Returns whether the value passes.
    pub(crate) fn holds(&self, value: &Value<'_>, now: &Now) -> bool {
        match self {
            Test::In(allowed) => allowed.has(value),
            Test::NotIn(refused) => !refused.has(value),
            Test::Within(bounds) => bounds.hold(value),
            Test::Finite => !matches!(value, Value::Real(number) if !number.is_finite()),
            Test::Length(unit, min, max) => value.has_length(*unit, *min, *max),
            Test::Matches { pattern, .. } => value
                .text()
                .is_some_and(|text| pattern.is_match(text.as_bytes())),
            Test::Prefix(part) => value.bytes().starts_with(part),
            Test::Suffix(part) => value.bytes().ends_with(part),
            Test::Contains(part) => contains(value.bytes(), part),
            Test::NotContains(part) => !contains(value.bytes(), part),
            Test::Defined(known) => match value {
                Value::Int(number) => {
                    i32::try_from(*number).is_ok_and(|number| known.binary_search(&number).is_ok())
                }
                _ => false,
            },
            Test::Format(format) => value
                .text()
                .is_some_and(|text| text.is_empty() || format.takes(text)),
            Test::Sizes(sizes) => {
                let length = value.bytes().len();
                length == 0 || sizes.contains(&length)
            }
            Test::NotEmpty => !value.bytes().is_empty(),
            Test::Unique => true,
            _ => self.holds_now(value, now) && self.holds_paths(value),
        }
    }

    /// Returns whether the test can't be made: a pattern is for text.
    pub(crate) fn has_no_result(&self, value: &Value<'_>) -> bool {
        matches!(self, Test::Matches { .. }) && value.text().is_none()
    }

    fn holds_now(&self, value: &Value<'_>, now: &Now) -> bool {
        if !matches!(self, Test::BeforeNow | Test::AfterNow | Test::NearNow(_)) {
            return true;
        }
        let (Value::Int(at), Some(now)) = (value, now.get()) else {
            return true;
        };
        match self {
            Test::BeforeNow => *at < now,
            Test::AfterNow => *at > now,
            Test::NearNow(distance) => (at - now).abs() <= *distance,
            _ => true,
        }
    }

    fn holds_paths(&self, value: &Value<'_>) -> bool {
        let Value::Paths(paths) = value else {
            return true;
        };
        match self {
            Test::PathsEqual(list) => paths.iter().copied().eq(list.iter().map(|path| &**path)),
            Test::PathsWithin(list) => paths.iter().all(|path| is_covered(path, list)),
            Test::PathsOutside(list) => !paths.iter().any(|path| is_covered(path, list)),
            _ => true,
        }
    }
}

/// Returns whether the list has the path or one that leads to it.
fn is_covered(path: &str, list: &[Box<str>]) -> bool {
    list.iter().any(|cover| {
        path.strip_prefix(&**cover)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(value, part).is_some()
}

// === impl Bounds ===

impl Bounds {
    /// Returns whether the lower limit is above the upper one: then the values outside of both are
    /// meant.
    pub fn exclude_the_middle(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Some((Constant::Int(lower), _)), Some((Constant::Int(upper), _))) => lower > upper,
            (Some((Constant::Real(lower), _)), Some((Constant::Real(upper), _))) => lower > upper,
            _ => false,
        }
    }

    // NaN compares with nothing and so is within no bounds.
    fn hold(&self, value: &Value<'_>) -> bool {
        let above = self.lower.as_ref().map(|(limit, inclusive)| {
            let order = value.compare(limit);
            order.is_some_and(|order| order.is_gt() || *inclusive && order.is_eq())
        });
        let below = self.upper.as_ref().map(|(limit, inclusive)| {
            let order = value.compare(limit);
            order.is_some_and(|order| order.is_lt() || *inclusive && order.is_eq())
        });
        match (above, below) {
            (Some(above), Some(below)) if self.exclude_the_middle() => above || below,
            (above, below) => above.unwrap_or(true) && below.unwrap_or(true),
        }
    }
}
