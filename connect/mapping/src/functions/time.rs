//! Times: formats of strftime, zones of the IANA database.

use cel::engine::ExecutionError;
use cel::engine::common::types::CelTimestamp;
use cel::engine::common::value::CowVal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use super::prepared::{Formats, Policy, Zone};
use super::texts::prepared;
use super::{Args, Made, text_of};
use crate::decimal::failure;
use crate::error::rules;

/// The time of day of a date without one.
const MIDNIGHT: NaiveTime = NaiveTime::MIN;

/// `time(text, format)`: the format has the offset to UTC.
pub(super) fn with_offset<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let [value, formats] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    if value.downcast_ref::<CelTimestamp>().is_some() {
        return Ok(value.clone());
    }
    let text = text_of("time", &**value)?.trim();
    let formats = prepared::<Formats>("time", &**formats)?;
    let read = |format: &String| DateTime::parse_from_str(text, format).ok();
    match formats.0.iter().find_map(read) {
        Some(time) => moment(time.to_utc()),
        None => Err(failure("time", rules::TIME, text)),
    }
}

/// `time(text, format, zone)` and `time(text, format, zone, choice)`: a local time.
pub(super) fn local<'b, 'v>(args: Args<'b, 'v>) -> Made<'b, 'v> {
    let (value, formats, zone, policy) = match args.as_slice() {
        [value, formats, zone] => (value, formats, zone, Policy::Earlier),
        [value, formats, zone, policy] => {
            (value, formats, zone, *prepared::<Policy>("time", &**policy)?)
        }
        _ => return Err(ExecutionError::invalid_argument_count(3, args.len())),
    };
    // A column may hold moments, as those of Parquet do.
    if value.downcast_ref::<CelTimestamp>().is_some() {
        return Ok(value.clone());
    }
    let text = text_of("time", &**value)?.trim();
    let formats = prepared::<Formats>("time", &**formats)?;
    let zone = prepared::<Zone>("time", &**zone)?;
    let time = formats.0.iter().find_map(|format| read(text, format));
    let time = time.ok_or_else(|| failure("time", rules::TIME, text))?;
    let moments = zone.moments(time);
    match (moments.as_slice(), policy) {
        ([], _) => Err(failure("time", rules::TIME_SKIPPED, text)),
        ([_, _], Policy::Refuse) => Err(failure("time", rules::TIME_TWICE, text)),
        ([.., last], Policy::Later) => moment(*last),
        ([first, ..], _) => moment(*first),
    }
}

fn read(text: &str, format: &str) -> Option<NaiveDateTime> {
    let time = NaiveDateTime::parse_from_str(text, format);
    let date = || NaiveDate::parse_from_str(text, format).map(|date| date.and_time(MIDNIGHT));
    time.or_else(|_| date()).ok()
}

fn moment<'b, 'v>(time: DateTime<Utc>) -> Made<'b, 'v> {
    Ok(CowVal::owned(CelTimestamp::from(time.fixed_offset())))
}
