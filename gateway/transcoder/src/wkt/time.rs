//! `google.protobuf.Timestamp` as RFC 3339 and `google.protobuf.Duration` as seconds with the
//! suffix `s`.

use wire::{put_varint, put_window};

use crate::json::{self, padded};

const NOT_TIMESTAMP: &str = "expected a timestamp as in RFC 3339";
const NOT_DURATION: &str = "expected seconds with the suffix 's'";
const TIMESTAMP_RANGE: &str = "timestamp is not within the years 1 to 9999";
const DURATION_RANGE: &str = "duration is out of range";

/// `0001-01-01T00:00:00Z` and `9999-12-31T23:59:59Z`, in seconds of the Unix epoch.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Ten thousand years, the bound of `seconds` in `duration.proto`; the last second may have a
/// fraction.
const DURATION_SECONDS: i64 = 315_576_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from `0000-03-01` to `1970-01-01`. Years that start in March have their leap day at the
/// end.
const EPOCH_DAYS: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// Appends the content of the Timestamp that `text` denotes, at any offset from UTC.
pub(crate) fn put_timestamp(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (seconds, nanos) = parse_timestamp(text).ok_or(NOT_TIMESTAMP)?;
    if !TIMESTAMP_SECONDS.contains(&seconds) {
        return Err(TIMESTAMP_RANGE);
    }
    put(seconds, nanos, out);
    Ok(())
}

/// Appends the content of the Duration that `text` denotes.
pub(crate) fn put_duration(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let number = text.strip_suffix('s').ok_or(NOT_DURATION)?;
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let seconds = digits(whole).ok_or(NOT_DURATION)?;
    let nanos = fraction.map_or(Some(0), nanos).ok_or(NOT_DURATION)?;
    if seconds > DURATION_SECONDS {
        return Err(DURATION_RANGE);
    }
    let sign = if number.starts_with('-') { -1 } else { 1 };
    put(sign * seconds, sign * nanos, out);
    Ok(())
}

/// Both messages are `int64 seconds = 1; int32 nanos = 2`.
fn put(seconds: i64, nanos: i64, out: &mut Vec<u8>) {
    for (tag, value) in [(0x08, seconds), (0x10, nanos)] {
        if value != 0 {
            out.push(tag);
            put_varint(out, value as u64);
        }
    }
}

/// Returns a run of digits, short enough to be read without overflow.
fn digits(text: &str) -> Option<i64> {
    let is_run = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_run && (1..=18).contains(&text.len())).then(|| text.parse().ok())?
}

fn nanos(fraction: &str) -> Option<i64> {
    let missing = 9usize.checked_sub(fraction.len())?;
    Some(digits(fraction)? * 10i64.pow(missing as u32))
}

/// Returns the nanoseconds of the fractional digits at `start`, and the text after them.
#[inline]
fn fraction(text: &str, start: usize) -> Option<(i64, &str)> {
    let mut value = 0;
    let end = json::digits(text.as_bytes(), start, &mut value);
    let scale = NANOS_BY_DIGITS.get((end - start).checked_sub(1)?)?;
    Some((value as i64 * scale, text.get(end..)?))
}

/// The value of the last of one to nine fractional digits, in nanoseconds.
const NANOS_BY_DIGITS: [i64; 9] = [
    100_000_000,
    10_000_000,
    1_000_000,
    100_000,
    10_000,
    1_000,
    100,
    10,
    1,
];

#[inline]
fn parse_timestamp(text: &str) -> Option<(i64, i64)> {
    let head = text.as_bytes().first_chunk::<19>()?;
    let is_separated = [head[4], head[7], head[10], head[13], head[16]] == *b"--T::";
    let year = pair(head[0], head[1])? * 100 + pair(head[2], head[3])?;
    let month = pair(head[5], head[6])?;
    let day = pair(head[8], head[9])?;
    let hour = pair(head[11], head[12])?;
    let minute = pair(head[14], head[15])?;
    let second = pair(head[17], head[18])?;
    let is_valid = is_separated
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_valid {
        return None;
    }
    let (nanos, zone) = match text.as_bytes().get(19) {
        Some(b'.') => fraction(text, 20)?,
        _ => (0, text.get(19..)?),
    };
    let seconds = days(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some((seconds - offset(zone)?, nanos))
}

/// Returns the number that two digits denote.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let is_short = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (is_short && hours < 24 && minutes < 60).then(|| sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the Unix epoch in the proleptic Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

/// `0001-01-01`, in days since `0000-03-01`; and any other January 1st since the March before it.
const FIRST_DAY: u32 = 306;

/// Returns the reverse of [`days`], of days since `0000-03-01`: eight decimal digits for year,
/// month and day. Quotient and remainder come out of one multiplication each (Neri and Schneider,
/// "Euclidean affine functions and their application to calendar algorithms").
#[inline]
fn date(days: u32) -> u32 {
    let quarters = 4 * days + 3;
    let (century, day_of_century) = (quarters / ERA_DAYS as u32, quarters % ERA_DAYS as u32 / 4);
    let product = 2_939_745 * u64::from(4 * day_of_century + 3);
    let year_of_century = (product >> 32) as u32;
    let day_of_year = product as u32 / 2_939_745 / 4;
    let scaled = 2141 * day_of_year + 197_913;
    let (month, day) = (scaled >> 16, (scaled & 0xffff) / 2141 + 1);
    // Months are counted from March on: January and February are the 13th and the 14th.
    let is_next_year = day_of_year >= FIRST_DAY;
    let month = if is_next_year { month - 12 } else { month };
    let year = 100 * century + year_of_century + u32::from(is_next_year);
    year * 10_000 + month * 100 + day
}

/// Appends the quoted text of a timestamp, in UTC.
pub(crate) fn write_timestamp(
    seconds: i64,
    nanos: i32,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    if !TIMESTAMP_SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(TIMESTAMP_RANGE);
    }
    let since = (seconds - TIMESTAMP_SECONDS.start()) as u64;
    let date = date((since / SECONDS_PER_DAY as u64) as u32 + FIRST_DAY);
    let second = (since % SECONDS_PER_DAY as u64) as u32;
    let time = second / 3600 * 10_000 + second / 60 % 60 * 100 + second % 60;
    let [y1, y2, y3, y4, m1, m2, d1, d2] = padded(date);
    let [_, _, h1, h2, n1, n2, s1, s2] = padded(time);
    put_window(out, |window: &mut [u8; 20 + FRACTION_AND_END]| {
        let (head, tail) = window.split_at_mut(20);
        head.copy_from_slice(&[
            b'"', y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1,
            s2,
        ]);
        20 + write_fraction(nanos.unsigned_abs(), b'Z', tail)
    });
    Ok(())
}

/// Appends the quoted text of a duration.
pub(crate) fn write_duration(
    seconds: i64,
    nanos: i32,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let is_in_range = seconds.abs_diff(0) <= DURATION_SECONDS as u64
        && nanos.unsigned_abs() < 1_000_000_000
        && (seconds.signum() * i64::from(nanos.signum()) >= 0);
    if !is_in_range {
        return Err(DURATION_RANGE);
    }
    out.push(b'"');
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    crate::json::put_unsigned(seconds.unsigned_abs(), out);
    put_window(out, |window: &mut [u8; FRACTION_AND_END]| {
        write_fraction(nanos.unsigned_abs(), b's', window)
    });
    Ok(())
}

/// The size of a point, nine digits, a letter and a quote.
const FRACTION_AND_END: usize = 12;

/// Writes no fraction, or one of 3, 6 or 9 digits, whichever is exact, then the letter and a quote;
/// returns how many bytes.
#[inline]
fn write_fraction(nanos: u32, end: u8, place: &mut [u8]) -> usize {
    let [d1, d2, d3, d4, d5, d6, d7, d8] = padded(nanos / 10);
    let d9 = b'0' + (nanos % 10) as u8;
    let all = [b'.', d1, d2, d3, d4, d5, d6, d7, d8, d9, end, b'"'];
    let len = match nanos {
        0 => 0,
        _ if nanos.is_multiple_of(1_000_000) => 4,
        _ if nanos.is_multiple_of(1_000) => 7,
        _ => 10,
    };
    place.copy_from_slice(&all);
    if let Some(place) = place.get_mut(len..len + 2) {
        place.copy_from_slice(&[end, b'"']);
    }
    len + 2
}

#[cfg(test)]
mod tests;
