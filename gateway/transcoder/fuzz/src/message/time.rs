//! Timestamps, durations and field masks as text: RFC 3339 with a calendar that counts day by day,
//! and ProtoJSON.

const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;
/// In whole seconds; the last one may have a fraction.
const MAX_DURATION: i64 = 315_576_000_000;
const DAY: i64 = 86_400;

/// Replaces each digit by `0`, so that a format can be compared with a picture of it.
fn picture(text: &str) -> String {
    let sketch = |c: char| if c.is_ascii_digit() { '0' } else { c };
    text.chars().map(sketch).collect()
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(i64::MAX)
}

/// Returns a fraction of a second, its point included, in nanoseconds.
fn nanos(fraction: &str) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let digits = fraction.strip_prefix('.')?;
    let is_fine = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_fine.then(|| number(&format!("{digits:0<9}")))
}

/// Seconds and nanoseconds since the Unix epoch.
pub(crate) fn parse_timestamp(text: &str) -> Option<(i64, i64)> {
    let (stem, rest) = text.split_at_checked(19)?;
    if picture(stem) != "0000-00-00T00:00:00" {
        return None;
    }
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let part = |from: usize, to: usize| number(&stem[from..to]);
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    let (hour, minute, second) = (part(11, 13), part(14, 16), part(17, 19));
    let is_day = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    if !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match picture(zone).as_str() {
        "Z" => 0,
        "+00:00" | "-00:00" => {
            let (hours, minutes) = (number(&zone[1..3]), number(&zone[4..6]));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if zone.starts_with('-') { -60 } else { 60 }
        }
        _ => return None,
    };
    let before: i64 = (1..month).map(|month| month_length(year, month)).sum();
    let days = days_to_year(year) + before + day - 1;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset;
    let nanos = nanos(fraction)?;
    (MIN_SECONDS..=MAX_SECONDS)
        .contains(&seconds)
        .then_some((seconds, nanos))
}

/// Days from 1970-01-01 to the first day of the year; every year is asked.
fn days_to_year(year: i64) -> i64 {
    let length = |year: i64| if is_leap(year) { 366 } else { 365 };
    match year {
        1970.. => (1970..year).map(length).sum(),
        _ => -(year..1970).map(length).sum::<i64>(),
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(crate) fn write_timestamp(seconds: i64, nanos: i64) -> Option<String> {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let (mut day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let mut year = 1970 + day.div_euclid(366);
    while days_to_year(year + 1) <= day {
        year += 1;
    }
    while days_to_year(year) > day {
        year -= 1;
    }
    day -= days_to_year(year);
    let mut month = 1;
    while day >= month_length(year, month) {
        day -= month_length(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = fraction(nanos);
    Some(format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z",
        day + 1
    ))
}

fn fraction(nanos: i64) -> String {
    let digits = format!("{:09}", nanos.abs());
    match (nanos, digits.ends_with("000000"), digits.ends_with("000")) {
        (0, _, _) => String::new(),
        (_, true, _) => format!(".{}", &digits[..3]),
        (_, _, true) => format!(".{}", &digits[..6]),
        _ => format!(".{digits}"),
    }
}

pub(crate) fn parse_duration(text: &str) -> Option<(i64, i64)> {
    let unsigned = text.strip_suffix('s')?;
    let (sign, unsigned) = match unsigned.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, unsigned),
    };
    let (whole, fraction) = unsigned.split_at(unsigned.find('.').unwrap_or(unsigned.len()));
    let is_run = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
    // More digits than that are a matter of taste: zeros in front, or far out of range.
    if !is_run || whole.len() > 18 {
        return None;
    }
    let (seconds, nanos) = (number(whole), nanos(fraction)?);
    (seconds <= MAX_DURATION).then_some((sign * seconds, sign * nanos))
}

pub(crate) fn write_duration(seconds: i64, nanos: i64) -> Option<String> {
    let is_in_range =
        seconds.unsigned_abs() <= MAX_DURATION.unsigned_abs() && nanos.abs() < 1_000_000_000;
    let is_mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if !is_in_range || is_mixed {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.abs(), fraction(nanos)))
}

/// Returns the paths of a mask in snake_case.
pub(crate) fn parse_mask(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(snake).collect()
}

fn snake(path: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".*".contains(c);
    let turn = |c: char| match c {
        'A'..='Z' => format!("_{}", c.to_ascii_lowercase()),
        c => c.to_string(),
    };
    (!path.is_empty() && path.chars().all(is_allowed)).then(|| path.chars().map(turn).collect())
}

/// One path in lowerCamelCase; only those that come back as they were have one.
pub(crate) fn camel(path: &str) -> Option<String> {
    let mut words = path.split('_');
    let mut text = words.next()?.to_owned();
    for word in words {
        let first = word.chars().next().filter(char::is_ascii_lowercase)?;
        text.push(first.to_ascii_uppercase());
        text += &word[1..];
    }
    let is_same = path.is_empty() || snake(&text).as_deref() == Some(path);
    is_same.then_some(text)
}
