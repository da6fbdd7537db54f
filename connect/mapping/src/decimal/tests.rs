use proptest::prelude::*;

use super::*;

fn minor(text: &str, scale: u32) -> Result<i64, Fault> {
    Decimal::parse(text)?.minor(scale)
}

#[test]
fn decimals_are_exact() {
    let nothing = Err(rules::NOT_A_NUMBER);
    let cases = [
        ("2.55", Ok(255)),
        ("2.550", Ok(255)),
        ("+7", Ok(700)),
        ("0.29", Ok(29)),
        (" 007.10 ", Ok(710)),
        ("-0.00", Ok(0)),
        ("-1.25", Ok(-125)),
        ("1e3", Ok(100_000)),
        ("25e-1", Ok(250)),
        ("92233720368547758.07", Ok(i64::MAX)),
        ("92233720368547758.08", Err(rules::OUT_OF_RANGE)),
        ("0.001", Err(rules::SCALE)),
        ("1.00000000000000000000000000000000001", Err(rules::SCALE)),
        ("1e400", Err(rules::OUT_OF_RANGE)),
        ("1e99999999999999999999", Err(rules::OUT_OF_RANGE)),
        ("1e-400", Err(rules::OUT_OF_RANGE)),
        ("0e99999999999999999999", Ok(0)),
        ("1,50", nothing),
        ("1.", nothing),
        (".5", nothing),
        ("+-1", nothing),
        ("1.2.3", nothing),
        ("1.-2", nothing),
        ("1e", nothing),
        ("£1", nothing),
        ("٣", nothing),
        ("NaN", nothing),
        ("", nothing),
        ("-", nothing),
    ];
    for (text, expected) in cases {
        assert_eq!(minor(text, 2), expected, "{text:?}");
    }
}

#[test]
fn units_are_converted_without_a_float() {
    let number = |text| Decimal::parse(text).unwrap();
    let pounds = number("0.45359237");
    let product = number("150.5").times(pounds).unwrap();
    assert_eq!(product.to_string(), "68.265651685");
    assert_eq!(product.round(2).to_string(), "68.27");
    assert_eq!(number("0.1").add_to(number("0.2")).unwrap(), number("0.3"));
    for (text, scale, expected) in [
        ("2.5", 0, "3"),
        ("-2.5", 0, "-3"),
        ("2.49", 0, "2"),
        ("0.005", 2, "0.01"),
        ("1.25", 4, "1.25"),
    ] {
        assert_eq!(number(text).round(scale).to_string(), expected, "{text}");
    }
    assert_eq!(number("2.5").fixed(2), Ok("2.50".to_owned()));
    assert_eq!(number("-7").fixed(3), Ok("-7.000".to_owned()));
    assert_eq!(number("7").fixed(0), Ok("7".to_owned()));
    assert_eq!(number("2.555").fixed(2), Err(rules::SCALE));
    assert!(number(&"9".repeat(38)).times(number("10")).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read(mantissa in any::<i64>(), scale in 0_u32..19) {
        let value = Decimal::new(mantissa.into(), scale).unwrap();
        prop_assert_eq!(Decimal::parse(&value.to_string()), Ok(value));
        prop_assert_eq!(value.minor(scale), Ok(mantissa));
    }

    #[test]
    fn order_is_that_of_the_numbers(one in any::<i32>(), other in any::<i32>(), scale in 0_u32..9) {
        let left = Decimal::new(i128::from(one), scale).unwrap();
        let right = Decimal::new(i128::from(other), scale).unwrap();
        prop_assert_eq!(left.order(right), one.cmp(&other));
    }

    #[test]
    fn no_text_is_too_odd(text in "[-+0-9.eE]{0,60}") {
        if let Ok(value) = Decimal::parse(&text) {
            prop_assert_eq!(Decimal::parse(&value.to_string()), Ok(value));
        }
    }
}
