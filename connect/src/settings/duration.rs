//! Durations as people write them: `500ms`, `2s`, `5m`, `1h`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Longest duration of a setting: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Units with their length in milliseconds; the longer name first, as `m` ends `ms` not.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a duration; for `serde(deserialize_with)`.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = parse(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "expected a duration up to 24h such as \"500ms\" or \"2s\", got {text:?}"
        ))
    })?;
    Ok(Some(parsed))
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(length)?;
    let duration = Duration::from_millis(milliseconds);
    (duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse("24h"), Some(LONGEST));
        for wrong in [
            "",
            "2",
            "s",
            "2 s",
            "-2s",
            "1.5s",
            "25h",
            "2d",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
