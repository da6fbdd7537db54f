//! Revocations, and the list that gateways read.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

/// Largest difference of clocks that a gateway tolerates: a token may be accepted so much longer.
pub(super) const SKEW: Duration = Duration::minutes(5);

/// The credentials that a revocation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// One credential: the `jti` of a token, or the ID of an API key.
    Credential(String),
    /// All of a subject that were issued before a time.
    Subject(String, DateTime<Utc>),
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its number.
    pub id: i64,
    /// The credentials.
    pub revoked: Revoked,
    /// Time from which no valid credential is affected.
    pub expires_at: DateTime<Utc>,
}

// === impl Revoked ===

impl Revoked {
    /// Revokes what a subject has got until a time, in whole seconds, as `iat` of tokens is: what
    /// was issued within the second of that time is revoked too.
    pub fn subject(subject: String, until: DateTime<Utc>) -> Self {
        let whole = DateTime::from_timestamp(until.timestamp(), 0).unwrap_or(until);
        let before = match whole < until {
            true => whole + Duration::seconds(1),
            false => whole,
        };
        Self::Subject(subject, before)
    }

    /// Returns the time from which no valid token is affected, if tokens live for `life`.
    pub fn expires_at(&self, now: DateTime<Utc>, life: Duration) -> DateTime<Utc> {
        let last = match self {
            Self::Credential(_) => now,
            Self::Subject(_, before) => (*before).max(now),
        };
        last + life + SKEW
    }
}

// === impl Revocation ===

impl Revocation {
    /// Returns the list in the form that gateways read.
    pub fn list(all: &[Self], issuer: &str) -> Value {
        json!({ "revoked": all.iter().map(|one| one.entry(issuer)).collect::<Vec<_>>() })
    }

    fn entry(&self, issuer: &str) -> Value {
        let mut entry = Map::new();
        entry.insert("issuer".to_owned(), issuer.into());
        match &self.revoked {
            Revoked::Credential(id) => drop(entry.insert("id".to_owned(), id.as_str().into())),
            Revoked::Subject(subject, before) => {
                entry.insert("subject".to_owned(), subject.as_str().into());
                entry.insert("issued_before".to_owned(), before.timestamp().into());
            }
        }
        entry.insert("until".to_owned(), self.expires_at.timestamp().into());
        entry.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(milliseconds).unwrap()
    }

    #[test]
    fn what_was_issued_within_the_second_is_revoked_too() {
        let until = |time| match Revoked::subject("shop".to_owned(), at(time)) {
            Revoked::Subject(_, before) => before,
            Revoked::Credential(_) => unreachable!(),
        };
        assert_eq!(until(5_001), at(6_000));
        assert_eq!(until(5_000), at(5_000));
    }

    #[test]
    fn a_revocation_stays_as_long_as_a_token_may_be_accepted() {
        let life = Duration::minutes(10);
        let one = Revoked::Credential("x".to_owned());
        assert_eq!(one.expires_at(at(0), life), at(15 * 60_000));
        let later = Revoked::subject("shop".to_owned(), at(60_000));
        assert_eq!(later.expires_at(at(0), life), at(16 * 60_000));
    }

    #[test]
    fn the_list_has_the_form_that_gateways_read() {
        let entry = |id, revoked| Revocation {
            id,
            revoked,
            expires_at: at(9_000),
        };
        let all = [
            entry(1, Revoked::Credential("x".to_owned())),
            entry(2, Revoked::Subject("shop".to_owned(), at(7_000))),
        ];
        let expected = json!({"revoked": [
            {"id": "x", "issuer": "https://id", "until": 9},
            {"subject": "shop", "issuer": "https://id", "issued_before": 7, "until": 9},
        ]});
        assert_eq!(Revocation::list(&all, "https://id"), expected);
    }
}
