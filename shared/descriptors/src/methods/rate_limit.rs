//! The option `mesh.v1.rate_limit`: how often a method may be called.

use std::time::Duration;

use contract::{CountedBy, RateLimit, WhenAway};
use prost::Message;

use crate::pool::{MethodDef, Pool};

/// Full name of the extension.
const NAME: &str = "mesh.v1.rate_limit";
/// Most limits of a method.
const MAX_LIMITS: usize = 8;
/// Most units of a limit: with the longest period, budgets stay exact in the numbers of Lua.
const MAX_UNITS: i64 = 100_000_000;
/// Longest name, in bytes.
const MAX_NAME: usize = 40;
/// Longest period, in seconds.
const MAX_PERIOD_S: u64 = 86_400;

/// One value of the option `mesh.v1.rate_limit`, as written.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RateLimitOption {
    /// `mesh.v1.RateLimit.By`.
    #[prost(int32, tag = "1")]
    pub by: i32,
    /// Units that come in a period.
    #[prost(int64, tag = "2")]
    pub requests: i64,
    /// The period, as `1s`, `5m`, `1h`, `1d`.
    #[prost(string, tag = "3")]
    pub per: String,
    /// `mesh.v1.RateLimit.Algorithm`.
    #[prost(int32, tag = "4")]
    pub algorithm: i32,
    /// Most units at once; 0: as many as `requests`.
    #[prost(int64, tag = "5")]
    pub burst: i64,
    /// Units of one call; 0: one.
    #[prost(int64, tag = "6")]
    pub cost: i64,
    /// The name of the limit; empty: that of the method.
    #[prost(string, tag = "7")]
    pub name: String,
    /// `mesh.v1.RateLimit.WhenAway`.
    #[prost(int32, tag = "8")]
    pub when_away: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RateLimitOptions {
    #[prost(message, repeated, tag = "50103")]
    limits: Vec<RateLimitOption>,
}

// === impl RateLimitOption ===

impl RateLimitOption {
    /// Number of the option among those of a method.
    pub const NUMBER: i32 = 50_103;

    /// Returns the options of a method, as written. The number is one that anybody may use, so that
    /// only a set with the option's definition has them.
    pub fn of(pool: &Pool, method: &MethodDef) -> Vec<Self> {
        let options: RateLimitOptions = method.options.decode().unwrap_or_default();
        let mut extensions = pool.extensions.iter();
        let is_declared = extensions.any(|own| *own.field.name == *NAME);
        options.limits.into_iter().filter(|_| is_declared).collect()
    }

    /// Returns the limits of a method, of which unnamed ones have the method's name.
    ///
    /// # Errors
    /// Every mistake, as a sentence with what to write.
    pub fn limits(options: &[Self], method: &str) -> Result<Vec<RateLimit>, Vec<String>> {
        let mut problems = Vec::new();
        if options.len() > MAX_LIMITS {
            problems.push(format!(
                "is written {} times, and may be at most {MAX_LIMITS}",
                options.len()
            ));
        }
        let mut limits: Vec<RateLimit> = Vec::new();
        for option in options {
            match option.limit(method) {
                Ok(limit) if limits.iter().any(|other| other.name == limit.name) => {
                    let name = &limit.name;
                    problems.push(format!(
                        "has two limits `{name}`; give each a `name` of its own"
                    ));
                }
                Ok(limit) => limits.push(limit),
                Err(found) => problems.extend(found),
            }
        }
        match problems.is_empty() {
            true => Ok(limits),
            false => Err(problems),
        }
    }

    fn limit(&self, method: &str) -> Result<RateLimit, Vec<String>> {
        let mut problems = Vec::new();
        let mut units = |key: &str, value: i64, least: i64| {
            if !(least..=MAX_UNITS).contains(&value) {
                problems.push(format!(
                    "has `{key}: {value}`, which must be from {least} to {MAX_UNITS}"
                ));
            }
            u64::try_from(value).unwrap_or_default()
        };
        let requests = units("requests", self.requests, 1);
        let burst = units("burst", self.burst, 0);
        let cost = units("cost", self.cost, 0).max(1);
        let burst = if burst == 0 { requests } else { burst };
        problems.extend(self.contradictions(cost, burst));
        let period = period(&self.per);
        if period.is_none() {
            problems.push(format!(
                "has `per: {:?}`, which must be a period such as \"1s\", \"5m\", \"1h\" or \"1d\", \
                 of at most a day",
                self.per
            ));
        }
        let (Some(by), Some(period), true) = (by(self.by), period, problems.is_empty()) else {
            return Err(problems);
        };
        Ok(RateLimit {
            name: match self.name.is_empty() {
                true => format!("{}:{}", unqualified(method), by.name()).into(),
                false => self.name.as_str().into(),
            },
            by,
            requests,
            period,
            is_window: self.algorithm == 2,
            burst,
            cost,
            when_away: match self.when_away {
                2 => WhenAway::Open,
                3 => WhenAway::Closed,
                _ => WhenAway::LocalShare,
            },
        })
    }

    fn contradictions(&self, cost: u64, burst: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if self.algorithm == 2 && self.burst != 0 {
            problems.push(
                "has a `burst` and a fixed window, which lets all of `requests` come at once; \
                 remove one"
                    .to_owned(),
            );
        }
        if burst > 0 && cost > burst {
            problems.push(format!(
                "has `cost: {cost}`, more than the {burst} units that there are at most, so that \
                 every call is refused"
            ));
        }
        let enums = [(self.by, 5), (self.algorithm, 2), (self.when_away, 3)];
        if enums
            .iter()
            .any(|(value, last)| !(0..=*last).contains(value))
        {
            problems.push("has a number that its enum does not have".to_owned());
        }
        if !is_name(&self.name) {
            problems.push(format!(
                "has `name: {:?}`, which may be at most {MAX_NAME} of a-z, 0-9, `-` and `_`",
                self.name
            ));
        }
        problems
    }
}

fn by(number: i32) -> Option<CountedBy> {
    Some(match number {
        0 | 1 => CountedBy::Caller,
        2 => CountedBy::Credential,
        3 => CountedBy::Address,
        4 => CountedBy::Tenant,
        5 => CountedBy::Method,
        _ => return None,
    })
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
    name.len() <= MAX_NAME && name.bytes().all(is_plain)
}

/// Returns `package.Service.Method` of a path or of a full name.
fn unqualified(method: &str) -> String {
    method.trim_start_matches('/').replace('/', ".")
}

fn period(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number: u64 = text.get(..text.len() - unit.len_utf8())?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds)?;
    (1..=MAX_PERIOD_S)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(requests: i64, per: &str) -> RateLimitOption {
        RateLimitOption {
            requests,
            per: per.to_owned(),
            ..RateLimitOption::default()
        }
    }

    #[test]
    fn a_limit_without_more_is_a_bucket_of_one_callers_requests() {
        let options = [option(10, "5m")];
        let limits = RateLimitOption::limits(&options, "/a.v1.B/C").unwrap();
        let limit = RateLimit {
            name: "a.v1.B.C:caller".into(),
            by: CountedBy::Caller,
            requests: 10,
            period: Duration::from_secs(300),
            is_window: false,
            burst: 10,
            cost: 1,
            when_away: WhenAway::LocalShare,
        };
        assert_eq!(limits, [limit]);
    }

    #[test]
    fn mistakes_are_named() {
        let with = |change: fn(&mut RateLimitOption)| {
            let mut option = option(10, "1s");
            change(&mut option);
            vec![option]
        };
        for (options, expected) in [
            (vec![option(0, "1s")], "`requests: 0`"),
            (vec![option(1, "1w")], "`per: \"1w\"`"),
            (vec![option(1, "2d")], "`per: \"2d\"`"),
            (vec![option(1, "")], "`per: \"\"`"),
            (with(|own| own.cost = 11), "`cost: 11`"),
            (with(|own| own.name = "A".into()), "`name: \"A\"`"),
            (with(|own| own.by = 9), "enum does not have"),
            (
                with(|own| (own.algorithm, own.burst) = (2, 20)),
                "a `burst` and a fixed window",
            ),
            (vec![option(1, "1s"), option(2, "1d")], "two limits"),
        ] {
            let problems = RateLimitOption::limits(&options, "a.B/C").unwrap_err();
            assert!(problems.join("\n").contains(expected), "{problems:?}");
        }
    }
}
