//! Texts, tables and defaults.

use std::borrow::Cow;

use cel::engine::ExecutionError;
use cel::engine::common::types::{CelList, CelNull, CelString};
use cel::engine::common::value::{CowVal, Val};

use super::prepared::{Entries, Pattern};
use super::{Args, Made, plain, shown, text_of};
use crate::decimal::failure;
use crate::error::rules;
use crate::limits::MAX_TEXT_BYTES;

fn changed<'b, 'v>(
    function: &'static str,
    args: &Args<'b, 'v>,
    change: impl FnOnce(&str) -> String,
) -> Made<'b, 'v> {
    let [value] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, args.len()));
    };
    let text = change(text_of(function, &**value)?);
    bounded(function, text)
}

fn bounded<'b, 'v>(function: &str, text: String) -> Made<'b, 'v> {
    match text.len() > MAX_TEXT_BYTES {
        true => Err(failure(function, rules::TOO_LONG, &text)),
        false => Ok(CowVal::owned(CelString::from(text))),
    }
}

/// `trim(text)`: without white space around it.
pub(super) fn trim<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    changed("trim", &args, |text| text.trim().to_owned())
}

/// `squeeze(text)`: without white space around it, each run of it within as one space.
pub(super) fn squeeze<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    changed("squeeze", &args, |text| {
        let mut squeezed = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            if !squeezed.is_empty() {
                squeezed.push(' ');
            }
            squeezed.push_str(word);
        }
        squeezed
    })
}

/// `upper(text)`.
pub(super) fn upper<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    changed("upper", &args, str::to_uppercase)
}

/// `lower(text)`.
pub(super) fn lower<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    changed("lower", &args, str::to_lowercase)
}

/// `text(x)`: a number, a bool or a time as text.
pub(super) fn text<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, args.len()));
    };
    match plain(&**value) {
        Some(text) => bounded("text", text),
        None => Err(failure("text", rules::TYPE, &shown(&**value))),
    }
}

/// `extract(text, pattern)`: the first group of the first match, or all of it; else no text.
pub(super) fn extract<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, pattern] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let text = text_of("extract", &**value)?;
    let pattern = prepared::<Pattern>("extract", &**pattern)?;
    let captures = pattern.0.captures(text);
    let found = captures.and_then(|captures| {
        let group = captures.get(1).or_else(|| captures.get(0));
        group.map(|group| group.as_str().to_owned())
    });
    bounded("extract", found.unwrap_or_default())
}

/// `substitute(text, pattern, text)`: each match replaced; `$1` is the first group.
pub(super) fn substitute<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, pattern, by] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(3, args.len()));
    };
    let text = text_of("substitute", &**value)?;
    let pattern = prepared::<Pattern>("substitute", &**pattern)?;
    let by = text_of("substitute", &**by)?;
    // Each match may become longer, and the whole must not be made to see that it is too long.
    let matches = pattern.0.find_iter(text).take(MAX_TEXT_BYTES).count();
    if matches.saturating_mul(by.len()).saturating_add(text.len()) > 16 * MAX_TEXT_BYTES {
        return Err(failure("substitute", rules::TOO_LONG, text));
    }
    let replaced = match pattern.0.replace_all(text, by) {
        Cow::Borrowed(same) => same.to_owned(),
        Cow::Owned(replaced) => replaced,
    };
    bounded("substitute", replaced)
}

/// `lookup('table', key)` and `lookup('table', key, default)`.
pub(super) fn lookup<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let mut args = args.into_iter();
    let (Some(table), Some(key)) = (args.next(), args.next()) else {
        return Err(ExecutionError::invalid_argument_count(2, 0));
    };
    let table = prepared::<Entries>("lookup", &*table)?;
    let text = plain(&*key).ok_or_else(|| failure("lookup", rules::TYPE, &shown(&*key)))?;
    match (table.0.get(&text), args.next()) {
        (Some(found), _) => Ok(CowVal::owned(CelString::from(found.clone()))),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(failure("lookup", rules::LOOKUP, &text)),
    }
}

/// `or(x, y, …)`: the first value that is neither null nor an empty text; else the last one.
pub(super) fn or<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let mut last = None;
    for value in args {
        let is_empty = match value.downcast_ref::<CelString<'_>>() {
            Some(text) => text.inner().is_empty(),
            None => value.downcast_ref::<CelNull>().is_some(),
        };
        if !is_empty {
            return Ok(value);
        }
        last = Some(value);
    }
    Ok(last.unwrap_or_else(|| CowVal::owned(CelNull)))
}

/// `list(x)`: a list as it is, no value as an empty list, any other as a list of one.
pub(super) fn list<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let Some(value) = args.into_iter().next() else {
        return Err(ExecutionError::invalid_argument_count(1, 0));
    };
    if value.downcast_ref::<CelList<'_>>().is_some() {
        return Ok(value);
    }
    let items = match value.downcast_ref::<CelNull>() {
        Some(_) => Vec::new(),
        None => vec![value.into_owned()],
    };
    Ok(CowVal::owned(CelList::from(items)))
}

/// Returns an argument that was prepared.
pub(super) fn prepared<'a, T>(function: &str, value: &'a dyn Val) -> Result<&'a T, ExecutionError>
where
    T: cel::engine::common::value::StaticVal + 'static,
{
    let own = value.as_any().and_then(|own| own.downcast_ref::<T>());
    own.ok_or_else(|| failure(function, rules::TYPE, &shown(value)))
}
