//! `Cache-Control` of requests and answers (RFC 9111 §5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The directives that a cache heeds; others say nothing to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) is_private: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    /// `Some(None)`: however stale.
    pub(crate) max_stale: Option<Option<Duration>>,
}

/// Reads all lines of `cache-control`. A malformed number is 0, which is the safe side for each but
/// `max-stale`, where it is 0 too.
pub(crate) fn directives(headers: &HeaderMap) -> Directives {
    let mut found = Directives::default();
    for line in headers.get_all(CACHE_CONTROL) {
        let text = line.to_str().unwrap_or("no-store");
        for directive in text.split(',') {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name, Some(value.trim().trim_matches('"'))),
                None => (directive, None),
            };
            found.add(name.trim(), value);
        }
    }
    found
}

impl Directives {
    fn add(&mut self, name: &str, value: Option<&str>) {
        let seconds = || {
            let seconds = value.and_then(|text| text.parse::<u32>().ok());
            Duration::from_secs(seconds.unwrap_or(0).into())
        };
        match name.to_ascii_lowercase().as_str() {
            "no-cache" => self.no_cache = true,
            "no-store" => self.no_store = true,
            "only-if-cached" => self.only_if_cached = true,
            "private" => self.is_private = true,
            // Of an answer: the one for shared caches, such as this, counts.
            "s-maxage" => self.max_age = Some(seconds()),
            "max-age" => {
                self.max_age = Some(self.max_age.map_or(seconds(), |it| it.min(seconds())))
            }
            "min-fresh" => self.min_fresh = Some(seconds()),
            "max-stale" => self.max_stale = Some(value.is_some().then(seconds)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&str]) -> Directives {
        let values = lines
            .iter()
            .map(|line| HeaderValue::from_str(line).unwrap());
        directives(&values.map(|value| (CACHE_CONTROL, value)).collect())
    }

    #[test]
    fn directives_are_read_in_any_spelling() {
        let none = Directives::default();
        let seconds = Duration::from_secs;
        for (lines, expected) in [
            (&[][..], none),
            (&["immutable, x=1, ,="], none),
            (
                &["No-Cache", "NO-STORE"],
                Directives {
                    no_cache: true,
                    no_store: true,
                    ..none
                },
            ),
            (
                &["max-age=\"5\""],
                Directives {
                    max_age: Some(seconds(5)),
                    ..none
                },
            ),
            (
                &["max-age=5, max-age=3"],
                Directives {
                    max_age: Some(seconds(3)),
                    ..none
                },
            ),
            (
                &["max-age=x"],
                Directives {
                    max_age: Some(seconds(0)),
                    ..none
                },
            ),
            (
                &["max-age=99999999999"],
                Directives {
                    max_age: Some(seconds(0)),
                    ..none
                },
            ),
            (
                &["max-stale"],
                Directives {
                    max_stale: Some(None),
                    ..none
                },
            ),
            (
                &["max-stale=2,min-fresh=1"],
                Directives {
                    max_stale: Some(Some(seconds(2))),
                    min_fresh: Some(seconds(1)),
                    ..none
                },
            ),
            (
                &["only-if-cached , private"],
                Directives {
                    only_if_cached: true,
                    is_private: true,
                    ..none
                },
            ),
        ] {
            assert_eq!(of(lines), expected, "{lines:?}");
        }
    }
}
