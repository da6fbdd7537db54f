//! Numbers: exact decimals, whole numbers, floats.

use cel::engine::ExecutionError;
use cel::engine::common::types::{CelDouble, CelInt, CelString};
use cel::engine::common::value::{CowVal, Val};

use super::{Args, Made, scale_of, shown};
use crate::decimal::{Decimal, exact, failure};
use crate::error::rules;

/// Digits of a whole number, beyond which it is a mistake.
const MAX_WHOLE_DIGITS: usize = 18;

/// `decimal(x)`: an exact decimal.
pub(super) fn decimal<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, args.len()));
    };
    Ok(CowVal::owned(number_of("decimal", &**value)?))
}

/// `decimal(x, scale)`: a number of minor units.
pub(super) fn minor<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, scale] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let scale = scale_of("decimal", &**scale)?;
    let units = number_of("decimal", &**value)?.minor(scale);
    let units = units.map_err(|rule| failure("decimal", rule, &shown(&**value)))?;
    Ok(CowVal::owned(CelInt::from(units)))
}

/// `round(decimal, scale)`: halves away from zero.
pub(super) fn round<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, scale] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let scale = scale_of("round", &**scale)?;
    let number = exact(&**value);
    let number = number.ok_or_else(|| failure("round", rules::TYPE, &shown(&**value)))?;
    Ok(CowVal::owned(number.round(scale)))
}

/// `fixed(x, scale)`: text with as many decimals.
pub(super) fn fixed<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, scale] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let scale = scale_of("fixed", &**scale)?;
    let text = number_of("fixed", &**value)?.fixed(scale);
    let text = text.map_err(|rule| failure("fixed", rule, &shown(&**value)))?;
    Ok(CowVal::owned(CelString::from(text)))
}

/// `whole(x)`: a whole number.
pub(super) fn whole<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, args.len()));
    };
    let wrong = |rule| failure("whole", rule, &shown(&**value));
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        // `1.0` and `1e3` are written as something else.
        let text = text.inner().trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let rule = match Decimal::parse(text) {
                Ok(_) => rules::NOT_WHOLE,
                Err(_) => rules::NOT_A_NUMBER,
            };
            return Err(wrong(rule));
        }
        if digits.len() > MAX_WHOLE_DIGITS {
            return Err(wrong(rules::OUT_OF_RANGE));
        }
    }
    let number = number_of("whole", &**value)?.to_whole().map_err(wrong)?;
    let number = i64::try_from(number).map_err(|_| wrong(rules::OUT_OF_RANGE))?;
    Ok(CowVal::owned(CelInt::from(number)))
}

/// `number(x)`: a float, the nearest one.
pub(super) fn number<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, args.len()));
    };
    let number = match value.downcast_ref::<CelDouble>() {
        Some(number) => *number.inner(),
        None => number_of("number", &**value)?.to_double(),
    };
    match number.is_finite() {
        true => Ok(CowVal::owned(CelDouble::from(number))),
        false => Err(failure("number", rules::OUT_OF_RANGE, &shown(&**value))),
    }
}

/// Reads a number from text, or takes one; a float by its shortest text.
fn number_of(function: &str, value: &dyn Val) -> Result<Decimal, ExecutionError> {
    if let Some(number) = exact(value) {
        return Ok(number);
    }
    let is_number = value.downcast_ref::<CelString<'_>>().is_some()
        || value.downcast_ref::<CelDouble>().is_some();
    if !is_number {
        return Err(failure(function, rules::TYPE, &shown(value)));
    }
    let text = shown(value);
    Decimal::parse(&text).map_err(|rule| failure(function, rule, &text))
}
