//! The `Accept` header (RFC 9110 section 12.5.1): the most specific range that covers a media type
//! decides about it.

use std::cmp::Reverse;

/// Quality in thousandths, never zero; of equal ones, the range that comes first in the header.
pub(crate) type Rank = (u16, Reverse<usize>);

/// Returns whether a response of this media type (`type/subtype`, lower case) is acceptable;
/// several header lines are joined by commas.
pub fn accepts(accept: &str, media_type: &str) -> bool {
    rank(accept, &[media_type]).is_some()
}

/// Returns the rank of a media type that has several names; an empty header accepts everything.
pub(crate) fn rank(accept: &str, names: &[&str]) -> Option<Rank> {
    let mut ranges = split(accept, b',')
        .filter(|range| !range.is_empty())
        .enumerate()
        .peekable();
    if ranges.peek().is_none() {
        return Some((1000, Reverse(0)));
    }
    let covering = ranges.filter_map(|(position, range)| {
        let (specificity, quality) = covers(range, names)?;
        Some((specificity, quality, Reverse(position)))
    });
    covering
        .max()
        .filter(|(_, quality, _)| *quality > 0)
        .map(|(_, quality, position)| (quality, position))
}

/// Specificity and quality of a range that covers one of the names; a range that is malformed
/// covers nothing.
fn covers(range: &str, names: &[&str]) -> Option<(u8, u16)> {
    let mut parts = split(range, b';');
    let range = parts.next()?.to_ascii_lowercase();
    let of_type = |kind: &str| {
        names
            .iter()
            .any(|name| name.split('/').next() == Some(kind))
    };
    let specificity = match range.strip_suffix("/*") {
        Some("*") => 1,
        Some(kind) if of_type(kind) => 2,
        None if names.contains(&range.as_str()) => 3,
        _ => return None,
    };
    let mut parameters = parts.filter_map(|part| part.split_once('='));
    let quality = parameters.find(|(name, _)| name.eq_ignore_ascii_case("q"));
    let quality = quality.map_or(Some(1000), |(_, text)| thousandths(text))?;
    Some((specificity, quality))
}

/// Returns a `qvalue` (RFC 9110 section 12.4.2) in thousandths. Digits after the third, which it
/// does not allow, are ignored.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain([b'0'; 3]).take(3);
    let fraction = digits.fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    match (whole, fraction) {
        ("0", _) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Returns the trimmed parts between separators; one inside a quoted string (RFC 9110 section
/// 5.6.4) separates nothing.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            let is_plain = !std::mem::take(&mut is_escaped);
            match byte {
                b'"' if is_plain => is_quoted = !is_quoted,
                b'\\' if is_plain && is_quoted => is_escaped = true,
                _ => {}
            }
            byte == separator && !is_quoted
        });
        let (part, tail) = match end.and_then(|end| text.split_at_checked(end)) {
            Some((part, tail)) => (part, tail.get(1..)),
            None => (text, None),
        };
        rest = tail;
        Some(part.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides() {
        for (accept, expected) in [
            ("", true),
            (" , ", true),
            ("*/*", true),
            ("application/json", true),
            ("text/html, application/*;q=0.1", true),
            ("APPLICATION/JSON;q=1", true),
            ("application/json; charset=utf-8", true),
            ("text/event-stream", false),
            ("text/*", false),
            ("application/json;q=x", false),
            ("application/json;q=0, */*", false),
            ("*/*;q=0, application/json", true),
            ("application/json;q=0.000", false),
            ("application/json;Q=0.001", true),
            ("application/json;q=1.5", false),
            ("application/json;q=-1", false),
            ("application/json;q=inf", false),
            ("application/json;q=0.1234", true),
        ] {
            assert_eq!(accepts(accept, "application/json"), expected, "{accept}");
        }
    }

    #[test]
    fn separators_in_quotes_separate_nothing() {
        for (accept, expected) in [
            (r#"text/x;a=", application/json""#, false),
            (r#"application/json;a=";q=0""#, true),
            (r#"application/json;a="\";q=0""#, true),
            (r#"application/json;a="\\";q=0"#, false),
            (r#"application/json;a="never closed, */*"#, true),
            (r#"text/x;a="never closed, */*"#, false),
        ] {
            assert_eq!(accepts(accept, "application/json"), expected, "{accept}");
        }
    }

    #[test]
    fn quality_counts_in_thousandths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.999", Some(999)),
            ("0.33333", Some(333)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("", None),
            (".5", None),
            ("00", None),
            ("0.+1", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
