//! The `Accept` header (RFC 9110 section 12.5.1): the most specific range that covers a media type decides about it.

use std::cmp::Reverse;

/// Quality in thousandths, never zero; of equal ones, the range that comes first in the header.
pub(crate) type Rank = (u16, Reverse<usize>);

/// Whether a response of this media type (`type/subtype`, lower case) is acceptable; several header lines are joined by commas.
pub fn accepts(accept: &str, media_type: &str) -> bool {
    rank(accept, &[media_type]).is_some()
}

/// What the header says about a media type that goes by several names; an empty header accepts everything.
pub(crate) fn rank(accept: &str, names: &[&str]) -> Option<Rank> {
    let mut ranges = accept
        .split(',')
        .filter(|range| !range.trim().is_empty())
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

/// Specificity and quality of a range that covers one of the names; a range that is malformed covers nothing.
fn covers(range: &str, names: &[&str]) -> Option<(u8, u16)> {
    let mut parts = range.split(';').map(str::trim);
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
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.trim().parse::<f32>().ok())?;
    Some((specificity, (quality.clamp(0.0, 1.0) * 1000.0) as u16))
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
        ] {
            assert_eq!(accepts(accept, "application/json"), expected, "{accept}");
        }
    }
}
