//! Numbers at their limits, and base64 in all its forms.

use super::*;

#[test]
fn integers_are_exact() {
    let cases = [
        ("0", Ok(0)),
        ("-0", Ok(0)),
        ("1.0", Ok(1)),
        ("1e2", Ok(100)),
        ("-250e-1", Ok(-25)),
        ("0.5e1", Ok(5)),
        ("0e99999999999999999999", Ok(0)),
        ("9223372036854775807", Ok(i128::from(i64::MAX))),
        ("18446744073709551615", Ok(i128::from(u64::MAX))),
        ("1.8446744073709551615e19", Ok(i128::from(u64::MAX))),
        ("9007199254740993", Ok(9_007_199_254_740_993)),
        ("1.5", Err(NOT_INTEGER)),
        ("1e-1", Err(NOT_INTEGER)),
        ("1e400", Err(OUT_OF_RANGE)),
        ("1e99999999999999999999", Err(OUT_OF_RANGE)),
    ];
    for (text, expected) in cases {
        assert_eq!(integer(text), expected, "{text}");
    }
}

#[test]
fn ranges_are_checked() {
    let mut out = Vec::new();
    let cases = [
        (Kind::Int32, "2147483648"),
        (Kind::Int32, "-2147483649"),
        (Kind::Uint32, "-1"),
        (Kind::Uint32, "4294967296"),
        (Kind::Int64, "9223372036854775808"),
        (Kind::Uint64, "18446744073709551616"),
        (Kind::Float, "3.5e38"),
        (Kind::Double, "1.8e308"),
    ];
    for (kind, text) in cases {
        let number = Number::parse(text).unwrap();
        assert_eq!(
            put_number(kind, number, &mut out),
            Err(OUT_OF_RANGE),
            "{text}"
        );
    }
    for text in ["", " 1", "1 ", "+1", "01", "0x1", "inf", "nan", "1,0"] {
        assert!(
            put_number_text(Kind::Int32, text, &mut out).is_err(),
            "{text}"
        );
        assert!(
            put_number_text(Kind::Double, text, &mut out).is_err(),
            "{text}"
        );
    }
}

#[test]
fn base64_takes_every_alphabet() {
    for text in ["-_8=", "-_8", "+/8=", "+/8"] {
        let mut out = Vec::new();
        assert_eq!(put_base64(text, &mut out), Ok(false), "{text}");
        assert_eq!(out, [2, 0xfb, 0xff], "{text}");
    }
    for text in ["-/8=", "a", "a===", "%%", "YQ==YQ=="] {
        assert_eq!(put_base64(text, &mut Vec::new()), Err(NOT_BASE64), "{text}");
    }
}

#[test]
fn floats_are_the_nearest() {
    let texts = [
        "0",
        "-0",
        "0.1",
        "-7.25",
        "9007199254740992",
        "9007199254740993",
        "123456789.125e-3",
        "1e22",
        "1e23",
        "8.5e-22",
        "1e-23",
        "16777216",
        "16777217",
        "1.1e10",
        "1e11",
        "3e-11",
        "0.30000000000000004",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "3.4028235e38",
        "4.9e-324",
        "1e-46",
        "0.1000000000000000055511151231257827021181583404541015625",
    ];
    for text in texts {
        let number = Number::parse(text).unwrap();
        let expected = text.parse::<f64>().unwrap();
        assert_eq!(
            double(number).map(f64::to_bits),
            Ok(expected.to_bits()),
            "{text}"
        );
        let expected = text.parse::<f32>().unwrap();
        let expected = finite(Some(expected).filter(|value| value.is_finite()));
        assert_eq!(
            float(number).map(f32::to_bits),
            expected.map(f32::to_bits),
            "{text}"
        );
    }
}
