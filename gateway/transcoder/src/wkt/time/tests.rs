//! Instants and durations as text, at their limits.

use wire::Reader;

use super::*;

/// Text to wire and back to text.
fn timestamp(text: &str) -> Result<String, &'static str> {
    round_trip(text, put_timestamp, write_timestamp)
}

fn duration(text: &str) -> Result<String, &'static str> {
    round_trip(text, put_duration, write_duration)
}

fn round_trip(
    text: &str,
    put: fn(&str, &mut Vec<u8>) -> Result<(), &'static str>,
    write: fn(i64, i32, &mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<String, &'static str> {
    let mut wire = Vec::new();
    put(text, &mut wire)?;
    let mut values = [0; 3];
    let mut reader = Reader::new(&wire);
    while let Some((number, _)) = reader.tag().unwrap() {
        values[number as usize] = reader.varint().unwrap() as i64;
    }
    let mut out = Vec::new();
    write(values[1], values[2] as i32, &mut out)?;
    Ok(String::from_utf8(out).unwrap().trim_matches('"').to_owned())
}

#[test]
fn timestamps_are_normalised_to_utc() {
    let cases = [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.900Z"),
        ("2000-02-29T12:30:45.123456Z", "2000-02-29T12:30:45.123456Z"),
        (
            "2024-12-31T23:59:59.000000001Z",
            "2024-12-31T23:59:59.000000001Z",
        ),
        ("2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z"),
        ("2023-12-31T23:30:00-01:45", "2024-01-01T01:15:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        (
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999999999Z",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(timestamp(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn every_day_of_four_centuries_survives() {
    for day in FIRST_DAY..3_652_365 {
        let date = i64::from(date(day));
        let [year, month, of_month] = [date / 10_000, date / 100 % 100, date % 100];
        assert_eq!(days(year, month, of_month), i64::from(day) - EPOCH_DAYS);
    }
}

#[test]
fn malformed_timestamps_are_refused() {
    let cases = [
        "",
        "2020-01-01",
        "2020-01-01T00:00:00",
        "2020-01-01t00:00:00Z",
        "2020-01-01T00:00:00z",
        "2020-01-01 00:00:00Z",
        "2020-13-01T00:00:00Z",
        "2020-00-01T00:00:00Z",
        "2020-02-30T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:60Z",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T00:00:00.1234567891Z",
        "2020-01-01T00:00:00+1:00",
        "2020-01-01T00:00:00+01:60",
        "2020-01-01T00:00:00+01:199999999999999900",
        "2020-01-01T00:00:00+999999999999999999:00",
        "20200-1-01T00:00:00Z",
        "+020-01-01T00:00:00Z",
        "2020-01-01T00:00:00ZZ",
        "2020-01-01T00:00:00.5",
        "2020-01-01T0é:00:0Z",
    ];
    for text in cases {
        assert_eq!(timestamp(text), Err(NOT_TIMESTAMP), "{text}");
    }
    for text in [
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-12-31T00:00:00Z",
    ] {
        assert_eq!(timestamp(text), Err(TIMESTAMP_RANGE), "{text}");
    }
}

#[test]
fn durations_keep_sign_and_precision() {
    let cases = [
        ("0s", "0s"),
        ("1s", "1s"),
        ("1.5s", "1.500s"),
        ("-0.5s", "-0.500s"),
        ("-1.000001s", "-1.000001s"),
        ("0.000000001s", "0.000000001s"),
        ("315576000000s", "315576000000s"),
        ("-315576000000s", "-315576000000s"),
    ];
    for (text, expected) in cases {
        assert_eq!(duration(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn malformed_durations_are_refused() {
    for text in [
        "",
        "s",
        "1",
        "1.s",
        ".5s",
        "+1s",
        "--1s",
        "1.0000000001s",
        "1m",
        "1 s",
        "1e3s",
    ] {
        assert_eq!(duration(text), Err(NOT_DURATION), "{text}");
    }
    for text in ["315576000001s", "-315576000001s", "315576000001s"] {
        assert_eq!(duration(text), Err(DURATION_RANGE), "{text}");
    }
    for (seconds, nanos) in [(1, -1), (-1, 1), (0, 1_000_000_000), (i64::MIN, 0)] {
        assert_eq!(
            write_duration(seconds, nanos, &mut Vec::new()),
            Err(DURATION_RANGE)
        );
    }
}
