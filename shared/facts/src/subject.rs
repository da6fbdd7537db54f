//! Subjects and lanes: `evt.<context>.<aggregate>.<lane>.<key>`, the key encoded to one NATS token.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Lanes that the aggregates of a context are spread over.
pub const LANES: i16 = 64;

/// Longest key, in bytes: encoded it is at most three times that, well below the server's 4096-byte
/// control line.
pub const MAX_KEY_BYTES: usize = 256;

/// The characters that a token encodes: all but letters, digits, `-` and `_`, because a token may
/// hold neither spaces nor `.`, `*`, `>`.
const TOKEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Returns the subject of all facts of one aggregate.
pub fn of(context: &str, aggregate: &str, key: &str) -> String {
    format!(
        "{}{}.{}",
        prefix(context, aggregate),
        lane(key),
        encode(key)
    )
}

/// Returns the filter of all facts of one kind of aggregate.
pub fn filter(context: &str, aggregate: &str) -> String {
    format!("{}>", prefix(context, aggregate))
}

/// Returns the filter of all facts of one context, which its stream holds.
pub fn context_filter(context: &str) -> String {
    format!("{}>", context_prefix(context))
}

/// Returns what all subjects of a context begin with.
pub fn context_prefix(context: &str) -> String {
    format!("evt.{}.", encode(context))
}

/// Returns the subject that wakes the relay of a database. No stream holds it.
pub fn wake(database: &str) -> String {
    format!("mesh.wake.{}", encode(database))
}

/// Returns the key of a subject; `None` if it is not one of this crate.
pub fn key(subject: &str) -> Option<String> {
    let mut tokens = subject.split('.');
    let (_evt, _context, _aggregate, lane_token, token) = (
        tokens.next().filter(|token| *token == "evt")?,
        tokens.next()?,
        tokens.next()?,
        tokens.next()?,
        tokens.next()?,
    );
    let key = percent_decode_str(token).decode_utf8().ok()?.into_owned();
    let ours = tokens.next().is_none() && !key.is_empty() && lane_token == lane(&key).to_string();
    ours.then_some(key)
}

/// Returns the lane of a key, `0..LANES`: FNV-1a, because it must never change between versions,
/// machines or languages.
pub fn lane(key: &str) -> i16 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV-1a are weak for short keys; fold the high half in before taking six of
    // them.
    ((hash ^ (hash >> 32)) % LANES as u64) as i16
}

/// Percent-encodes a header value, as the HTTP binding of CloudEvents 1.0.2 (§3.1.3.2) requires;
/// the NATS binding shares it.
pub fn header_value(value: &str) -> String {
    const UNSAFE: &AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'%');
    utf8_percent_encode(value, UNSAFE).to_string()
}

fn prefix(context: &str, aggregate: &str) -> String {
    format!("evt.{}.{}.", encode(context), encode(aggregate))
}

/// Returns what a token encodes.
pub fn decode(token: &str) -> String {
    percent_decode_str(token).decode_utf8_lossy().into_owned()
}

fn encode(token: &str) -> String {
    utf8_percent_encode(token, TOKEN).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_key_survives_the_subject(key_in in "\\PC{1,60}|[ .*>%\\n\\t]{1,20}") {
            let subject = of("ingest", "account", &key_in);
            prop_assert!(!subject.contains([' ', '*', '>', '\n', '\t']));
            prop_assert_eq!(subject.split('.').count(), 5);
            prop_assert_eq!(key(&subject), Some(key_in));
        }

        #[test]
        fn lanes_are_in_range(key_in in "\\PC{0,60}") {
            prop_assert!((0..LANES).contains(&lane(&key_in)));
        }
    }

    #[test]
    fn lanes_are_pinned() {
        // A changed lane would split the version chain of a live aggregate.
        assert_eq!(
            ["12346", "17850", "order 1.2", "ü"].map(lane),
            [25, 51, 22, 45]
        );
    }

    #[test]
    fn lanes_are_spread() {
        let mut counts = [0_u32; LANES as usize];
        for customer in 12_000..18_400 {
            counts[lane(&customer.to_string()) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..=150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn foreign_subjects_have_no_key() {
        for subject in [
            "evt.ingest.account.0",
            "evt.ingest.account.99.a",
            "evt.ingest.account.0.a.b",
            "x.ingest.account.0.a",
        ] {
            assert_eq!(key(subject), None, "{subject}");
        }
    }
}
