//! Exact decimals: 38 digits, nothing is rounded unless an expression says so.

use std::cmp::Ordering;
use std::fmt;

use cel::Boxed;
use cel::engine::ExecutionError;
use cel::engine::common::traits::{Adder, Comparer, Multiplier, Negator, Subtractor};
use cel::engine::common::types::{CelInt, CelUInt, Type};
use cel::engine::common::value::{CowVal, StaticVal, Val};

use crate::error::rules;
use crate::limits::MAX_DIGITS;

/// The type of exact decimals.
pub(crate) static DECIMAL: Type = Type::new_unspecified_type("decimal");

/// `mantissa / 10^scale`, without zeros at the end of its decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// The rule that a text or a calculation breaks.
pub(crate) type Fault = &'static str;

// === impl Decimal ===

impl Decimal {
    pub(crate) fn whole(value: i128) -> Self {
        Decimal {
            mantissa: value,
            scale: 0,
        }
    }

    fn new(mantissa: i128, scale: u32) -> Result<Self, Fault> {
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        if scale > MAX_DIGITS as u32 || mantissa.unsigned_abs() >= 10_u128.pow(MAX_DIGITS as u32) {
            return Err(rules::OUT_OF_RANGE);
        }
        Ok(Decimal { mantissa, scale })
    }

    /// Reads `[+-] digits [. digits] [e [+-] digits]`, spaces around it left out.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent_of(exponent)?),
            None => (text, 0),
        };
        let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(rules::NOT_A_NUMBER),
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let digits = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !digits().all(|byte| byte.is_ascii_digit()) {
            return Err(rules::NOT_A_NUMBER);
        }
        let zeros = fraction.bytes().rev().take_while(|byte| *byte == b'0').count();
        let kept = whole.len() + fraction.len() - zeros;
        let mut mantissa: i128 = 0;
        for digit in digits().take(kept) {
            let next = mantissa.checked_mul(10);
            let next = next.and_then(|value| value.checked_add(i128::from(digit - b'0')));
            mantissa = next.ok_or(rules::OUT_OF_RANGE)?;
        }
        if number.starts_with('-') {
            mantissa = -mantissa;
        }
        if mantissa == 0 {
            return Ok(Decimal::whole(0));
        }
        let scale = (fraction.len() - zeros) as i64 - exponent;
        match u32::try_from(scale) {
            Ok(scale) if scale <= 2 * MAX_DIGITS as u32 => Decimal::new(mantissa, scale),
            Ok(_) => Err(rules::OUT_OF_RANGE),
            Err(_) => {
                let power = u32::try_from(-scale).map_err(|_| rules::OUT_OF_RANGE)?;
                let scaled = power_of_ten(power).and_then(|power| mantissa.checked_mul(power));
                Decimal::new(scaled.ok_or(rules::OUT_OF_RANGE)?, 0)
            }
        }
    }

    /// Returns the number of units of `1 / 10^scale`.
    pub(crate) fn minor(self, scale: u32) -> Result<i64, Fault> {
        if self.scale > scale {
            return Err(rules::SCALE);
        }
        let units = power_of_ten(scale - self.scale);
        let units = units.and_then(|power| self.mantissa.checked_mul(power));
        let units = units.ok_or(rules::OUT_OF_RANGE)?;
        i64::try_from(units).map_err(|_| rules::OUT_OF_RANGE)
    }

    /// Returns the number, if it has no decimals.
    pub(crate) fn to_whole(self) -> Result<i128, Fault> {
        match self.scale {
            0 => Ok(self.mantissa),
            _ => Err(rules::NOT_WHOLE),
        }
    }

    /// Rounds to so many decimals, halves away from zero.
    pub(crate) fn round(self, scale: u32) -> Self {
        let Some(power) = self.scale.checked_sub(scale).and_then(power_of_ten) else {
            return self;
        };
        let (quotient, rest) = (self.mantissa / power, self.mantissa % power);
        let is_up = rest.unsigned_abs() >= power.unsigned_abs().div_ceil(2) && power > 1;
        let mantissa = quotient + if is_up { rest.signum() } else { 0 };
        // It has fewer digits than before, or one more at most.
        Decimal::new(mantissa, scale).unwrap_or(self)
    }

    /// Returns the text with exactly so many decimals.
    pub(crate) fn fixed(self, scale: u32) -> Result<String, Fault> {
        if self.scale > scale {
            return Err(rules::SCALE);
        }
        let text = self.to_string();
        let text = match self.scale {
            0 if scale > 0 => format!("{text}."),
            _ => text,
        };
        let zeros = (scale - self.scale) as usize;
        Ok(format!("{text}{}", "0".repeat(zeros)))
    }

    pub(crate) fn to_double(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    fn add_to(self, other: Self) -> Result<Self, Fault> {
        let scale = self.scale.max(other.scale);
        let aligned = |own: Self| {
            let power = power_of_ten(scale - own.scale)?;
            own.mantissa.checked_mul(power)
        };
        let sum = aligned(self).zip(aligned(other));
        let sum = sum.and_then(|(one, other)| one.checked_add(other));
        Decimal::new(sum.ok_or(rules::OUT_OF_RANGE)?, scale)
    }

    fn times(self, other: Self) -> Result<Self, Fault> {
        let product = self.mantissa.checked_mul(other.mantissa);
        Decimal::new(product.ok_or(rules::OUT_OF_RANGE)?, self.scale + other.scale)
    }

    fn negated(self) -> Self {
        Decimal {
            mantissa: -self.mantissa,
            ..self
        }
    }

    fn order(self, other: Self) -> Ordering {
        match self.add_to(other.negated()) {
            Ok(difference) => difference.mantissa.cmp(&0),
            // Too far apart, or too many digits for a difference: the parts decide.
            Err(_) => self.split().cmp(&other.split()),
        }
    }

    /// Returns the whole part and the decimals as a number of 38 digits.
    fn split(self) -> (i128, i128) {
        let power = power_of_ten(self.scale).unwrap_or(1);
        let rest = self.mantissa % power;
        let widened = power_of_ten(MAX_DIGITS as u32 - self.scale);
        let rest = widened.and_then(|widened| rest.checked_mul(widened));
        (self.mantissa / power, rest.unwrap_or_default())
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn exponent_of(text: &str) -> Result<i64, Fault> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(rules::NOT_A_NUMBER);
    }
    // More digits than these are out of range whatever they are, but for those of zero.
    let value = digits.parse::<i64>().unwrap_or(i64::from(u32::MAX));
    Ok(if text.starts_with('-') { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.scale as usize;
        let digits = self.mantissa.unsigned_abs().to_string();
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let point = if scale > 0 { "." } else { "" };
        write!(formatter, "{sign}{whole}{point}{fraction}")
    }
}

/// Returns a number that is exact.
pub(crate) fn exact(value: &dyn Val) -> Option<Decimal> {
    if let Some(own) = value.downcast_ref::<Decimal>() {
        return Some(*own);
    }
    if let Some(own) = value.downcast_ref::<CelInt>() {
        return Some(Decimal::whole((*own.inner()).into()));
    }
    let own = value.downcast_ref::<CelUInt>()?;
    Some(Decimal::whole((*own.inner()).into()))
}

/// Returns the error of a function: a rule, and the value that breaks it.
pub(crate) fn failure(function: &str, rule: &str, value: &str) -> ExecutionError {
    ExecutionError::function_error(function, format!("{rule}\u{1f}{value}"))
}

fn operand(value: &dyn Val) -> Result<Decimal, ExecutionError> {
    let kind = value.get_type().name();
    exact(value).ok_or_else(|| failure("decimal", rules::TYPE, kind))
}

fn made<'b, 'v>(result: Result<Decimal, Fault>, left: Decimal) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match result {
        Ok(value) => Ok(CowVal::owned(value)),
        Err(rule) => Err(failure("decimal", rule, &left.to_string())),
    }
}

impl Val for Decimal {
    fn get_type(&self) -> &Type {
        &DECIMAL
    }

    fn cel_type() -> &'static Type {
        &DECIMAL
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)> {
        Some(self)
    }

    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)> {
        Some(self)
    }

    fn as_multiplier<'b, 'v>(&'b self) -> Option<&'b (dyn Multiplier + 'v)> {
        Some(self)
    }

    fn as_negator<'b, 'v>(&'b self) -> Option<&'b (dyn Negator + 'v)> {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        exact(other).is_some_and(|other| other == *self)
    }

    fn clone_as_boxed<'v>(&self) -> Boxed<'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Decimal {}

impl Adder for Decimal {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        made(self.add_to(operand(other)?), *self)
    }
}

impl Subtractor for Decimal {
    fn sub<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        made(self.add_to(operand(other)?.negated()), *self)
    }
}

impl Multiplier for Decimal {
    fn mul<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        made(self.times(operand(other)?), *self)
    }
}

impl Negator for Decimal {
    fn negate<'v>(&self) -> Result<Box<dyn Val + 'v>, ExecutionError> {
        Ok(Box::new(self.negated()))
    }
}

impl Comparer for Decimal {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        Ok(self.order(operand(other)?))
    }
}

#[cfg(test)]
mod tests;
