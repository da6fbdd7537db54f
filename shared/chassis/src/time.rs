//! Local civil time as contracts write it: `YYYY-MM-DDTHH:MM:SS`, without a zone.

use chrono::{Datelike, NaiveDateTime, Timelike};

const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// One byte for each of the text: `0` stands for a digit, any other byte for itself.
const SHAPE: &[u8] = b"0000-00-00T00:00:00";

/// Parses exactly `YYYY-MM-DDTHH:MM:SS`: a valid date in the years 0001 to 9999, seconds 00 to 59.
/// Leap seconds are rejected, as databases can't hold them.
pub fn parse_local(text: &str) -> Option<NaiveDateTime> {
    // chrono alone accepts signs, spaces and other widths, which other readers of the contract
    // reject.
    if !has_shape(text.as_bytes()) {
        return None;
    }
    NaiveDateTime::parse_from_str(text, FORMAT)
        .ok()
        .filter(|time| time.year() > 0 && time.nanosecond() == 0)
}

/// Formats a time as contracts write it, to the second.
pub fn format_local(time: NaiveDateTime) -> String {
    time.format(FORMAT).to_string()
}

fn has_shape(text: &[u8]) -> bool {
    text.len() == SHAPE.len()
        && text.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_was_read() {
        for text in [
            "2010-12-01T08:26:00",
            "0001-01-01T00:00:00",
            "9999-12-31T23:59:59",
            "2012-02-29T12:00:00",
        ] {
            assert_eq!(parse_local(text).map(format_local).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_time_has_one_form_and_is_one_of_the_calendar() {
        for text in [
            "",
            "2010-12-01",
            "2010-12-01 08:26:00",
            "2010-12-01T08:26",
            "2010-12-01T08:26:00Z",
            "2010-12-01T08:26:00.5",
            "2010-2-001T08:26:00",
            "2010-02-30T08:26:00",
            "2011-02-29T08:26:00",
            "2010-13-01T08:26:00",
            "2010-12-01T24:00:00",
            "2010-12-01T08:26:60",
            "0000-12-01T08:26:00",
            "+2010-12-01T08:26:00",
            "+201-12-01T08:26:00",
            "-201-12-01T08:26:00",
            " 201-12-01T08:26:00",
            "12010-12-01T08:26:00",
            "２010-12-01T08:26",
        ] {
            assert_eq!(parse_local(text), None, "{text}");
        }
    }
}
