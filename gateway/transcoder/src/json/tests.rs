//! Valid and invalid JSON, and the offsets of faults.

use wire::MAX_DEPTH;

use super::*;
use crate::Rule;

/// Reads one value and the end of the text; the offset of the first fault otherwise.
fn check(text: &[u8]) -> Result<(), usize> {
    let read = || {
        let mut cursor = Cursor::new(text)?;
        cursor.skip_value()?;
        cursor.finish()
    };
    read().map_err(|failure| failure.offset.unwrap())
}

#[test]
fn valid_texts_are_read_to_their_end() {
    let cases = [
        "null",
        " true ",
        "\t\r\nfalse",
        "0",
        "-0",
        "-0.0e-0",
        "10",
        "1.5E+10",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,{\"a\":[]}]]",
        "{\"a\":{},\"b\":[null]}",
        r#""\"\\\/\b\f\n\r\té😀""#,
        "\"\u{7f}ä\"",
    ];
    for text in cases {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn faults_are_found_where_they_are() {
    let cases: [(&[u8], usize); 32] = [
        (b"", 0),
        (b"  ", 2),
        (b"\xef\xbb\xbf{}", 0),
        (b"nul", 0),
        (b"True", 0),
        (b"{} x", 3),
        (b"1 2", 2),
        (b"01", 0),
        (b"1.", 0),
        (b".5", 0),
        (b"+1", 0),
        (b"1e", 0),
        (b"-", 0),
        (b"NaN", 0),
        (b"[1,]", 3),
        (b"[1 2]", 3),
        (b"[,1]", 1),
        (b"[1", 2),
        (b"{\"a\":1,}", 7),
        (b"{a:1}", 1),
        (b"{\"a\" 1}", 5),
        (b"{\"a\":}", 5),
        (b"{\"a\"", 4),
        (b"'a'", 0),
        (b"\"a", 2),
        (b"\"a\nb\"", 2),
        (b"\"\\x\"", 2),
        (b"\"\\ud800\"", 7),
        (b"\"\\udc00\\ud800\"", 7),
        (b"\"\\ud800\\u0041\"", 13),
        (b"\"\\u12g4\"", 3),
        (b"\"\xff\"", 1),
    ];
    for (text, offset) in cases {
        assert_eq!(
            check(text),
            Err(offset),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
    let text = nested(MAX_DEPTH + 1);
    let failure = Cursor::new(text.as_bytes())
        .unwrap()
        .skip_value()
        .unwrap_err();
    assert_eq!(failure.rule, Rule::LimitExceeded);
}

#[test]
fn strings_decode() {
    let text = r#""a\u00e4\ud83d\ude00\n\/""#;
    let mut cursor = Cursor::new(text.as_bytes()).unwrap();
    assert_eq!(cursor.plain_string().unwrap(), None);
    assert_eq!(cursor.string().unwrap(), "aä😀\n/");
}

#[test]
fn written_strings_read_back() {
    let every: String = (0..0x250).filter_map(char::from_u32).collect();
    let mut json = Vec::new();
    put_string(&every, &mut json);
    assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), every);
    assert_eq!(Cursor::new(&json).unwrap().string().unwrap(), every);
}

#[test]
fn floats_are_shortest_and_special_ones_are_strings() {
    let cases = [
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (1e300, "1e+300"),
        (f64::NAN, "\"NaN\""),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ];
    for (value, text) in cases {
        let mut json = Vec::new();
        put_double(value, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), text);
    }
    let mut json = Vec::new();
    put_float(0.1, &mut json);
    assert_eq!(json, b"0.1");
}

#[test]
fn base64_is_standard_and_padded() {
    for (bytes, text) in [
        (&b""[..], "\"\""),
        (b"\xfb", "\"+w==\""),
        (b"\xfb\xff", "\"+/8=\""),
        (b"abc", "\"YWJj\""),
    ] {
        let mut json = Vec::new();
        put_base64(bytes, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), text);
    }
}
