//! Texts of well-known types as grpc-gateway takes them in paths and queries.

use crate::wkt;

const NOT_DURATION: &str = "expected a duration, such as 1.5s or 1m30s";

/// Appends a duration written as Go does, `time.ParseDuration`: numbers with units, one after the
/// other. ProtoJSON's own form is among them.
pub(super) fn put_duration(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let mut nanos: i128 = 0;
    let mut rest = unsigned;
    if rest != "0" {
        if rest.is_empty() {
            return Err(NOT_DURATION);
        }
        while !rest.is_empty() {
            let (part, after) = next_part(rest).ok_or(NOT_DURATION)?;
            nanos = nanos.checked_add(part).ok_or(NOT_DURATION)?;
            rest = after;
        }
    }
    let (seconds, nanos) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    wkt::put_duration(&format!("{sign}{seconds}.{nanos:09}s"), out)
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Units, each after those that begin with it.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
];

/// Reads one number with its unit, in nanoseconds, of which fractions are dropped as Go does.
fn next_part(text: &str) -> Option<(i128, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, rest) = text.split_at(end);
    let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(*scale)?;
    let mut place = *scale;
    for digit in fraction.chars() {
        place /= 10;
        nanos += i128::from(digit.to_digit(10)?) * place;
    }
    Some((nanos, &rest[unit.len()..]))
}

/// Appends the paths of a mask as they are: names of the proto file.
pub(super) fn put_field_mask(text: &str, out: &mut Vec<u8>) {
    for path in text.split(',') {
        out.push(wkt::PATHS_TAG);
        wire::put_varint(out, path.len() as u64);
        out.extend_from_slice(path.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_of(text: &str) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        put_duration(text, &mut out).map(|()| out)
    }

    #[test]
    fn durations_of_go_are_those_of_json() {
        for (go, json) in [
            ("1m30s", "90s"),
            ("1h", "3600s"),
            ("1.5s", "1.5s"),
            ("-250ms", "-0.25s"),
            ("+2\u{b5}s", "0.000002s"),
            ("1ns", "0.000000001s"),
            (".5m", "30s"),
            ("0", "0s"),
        ] {
            let mut expected = Vec::new();
            wkt::put_duration(json, &mut expected).unwrap();
            assert_eq!(wire_of(go), Ok(expected), "{go}");
        }
        let huge = format!("{}h", "9".repeat(60));
        for wrong in ["", "-", "1", "s", ".s", "1x", "1s2", "1..5s", &huge] {
            assert!(wire_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn masks_keep_the_names_of_the_proto_file() {
        let mut out = Vec::new();
        put_field_mask("a_b,c.d_e", &mut out);
        assert_eq!(out, b"\x0a\x03a_b\x0a\x05c.d_e");
    }
}
