//! Parsing, formatting and inheritance of deadlines, on a paused clock.

use super::*;

fn parsed(value: &str) -> Option<Duration> {
    parse(value.as_bytes())
}

#[test]
fn reads_each_unit() {
    assert_eq!(parsed("1H"), Some(Duration::from_secs(3600)));
    assert_eq!(parsed("2M"), Some(Duration::from_secs(120)));
    assert_eq!(parsed("3S"), Some(Duration::from_secs(3)));
    assert_eq!(parsed("4m"), Some(Duration::from_millis(4)));
    assert_eq!(parsed("5u"), Some(Duration::from_micros(5)));
    assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
    assert_eq!(
        parsed("99999999H"),
        Some(Duration::from_secs(99_999_999 * 3600))
    );
}

#[test]
fn refuses_what_the_specification_does_not_allow() {
    for value in [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "+1S",
        "1.5S",
        "100000000n",
        " 1S",
        "1 S",
    ] {
        assert_eq!(parsed(value), None, "{value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_the_finest_unit_that_fits() {
    let now = Instant::now();
    for (left, text) in [
        (Duration::from_millis(50), "50000000n"),
        (Duration::from_secs(5), "5000000u"),
        (Duration::from_secs(500), "500000m"),
        (Duration::from_secs(200_000), "200000S"),
    ] {
        assert_eq!(header_value(now + left), text);
    }
    assert_eq!(header_value(now), "0n");
}

#[tokio::test(start_paused = true)]
async fn an_inner_scope_can_only_shorten() {
    let now = Instant::now();
    let inner = scope(now + Duration::from_secs(9), async { remaining() });
    let left = scope(now + Duration::from_secs(2), inner).await;
    assert_eq!(left, Some(Duration::from_secs(2)));
}
