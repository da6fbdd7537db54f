//! The value that the store holds under a key: the mark of a call in flight, or the outcome of one.

use bytes::{Buf, BufMut, Bytes};
use cache::{Answer, codec};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::key::Fingerprint;

/// A value in the store.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A call is in flight; the mark is of one process and one call.
    InFlight(Fingerprint),
    /// The call has ended so.
    Ended(Fingerprint, Box<Result<Answer, Status>>),
    /// The call went well, with an answer too large to keep.
    TooLarge(Fingerprint),
}

/// First bytes of values; another version of this crate would use others.
const IN_FLIGHT: u8 = b'a';
const ANSWER: u8 = b'b';
const ERROR: u8 = b'c';
const TOO_LARGE: u8 = b'd';

/// Returns the mark of a call in flight.
pub(crate) fn mark(fingerprint: &Fingerprint, owner: &[u8; 16]) -> Vec<u8> {
    [&[IN_FLIGHT][..], fingerprint, owner].concat()
}

/// Returns the outcome of a call as it is stored. One with more bytes than `most` is left out of
/// it.
pub(crate) fn ended(
    fingerprint: &Fingerprint,
    outcome: &Result<Answer, Status>,
    most: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    match outcome {
        Ok(answer) => {
            out.put_u8(ANSWER);
            out.put_slice(fingerprint);
            codec::put_answer(answer, &mut out);
        }
        Err(status) => {
            out.put_u8(ERROR);
            out.put_slice(fingerprint);
            out.put_i32(status.code() as i32);
            codec::put(status.message().as_bytes(), &mut out);
            codec::put(status.details(), &mut out);
            codec::put_headers(&status.metadata().clone().into_headers(), &mut out);
        }
    }
    if out.len() > most {
        out.clear();
        out.put_u8(TOO_LARGE);
        out.put_slice(fingerprint);
    }
    out
}

/// Reads a value; `None` if it is not one of this version.
pub(crate) fn read(value: &[u8]) -> Option<Record> {
    let mut rest = Bytes::copy_from_slice(value);
    let kind = rest.try_get_u8().ok()?;
    let mut fingerprint = Fingerprint::default();
    rest.try_copy_to_slice(&mut fingerprint).ok()?;
    let outcome = match kind {
        IN_FLIGHT => return Some(Record::InFlight(fingerprint)),
        TOO_LARGE => return Some(Record::TooLarge(fingerprint)),
        ANSWER => Ok(codec::take_answer(&mut rest)?),
        ERROR => {
            let code = Code::from(rest.try_get_i32().ok()?);
            let message = String::from_utf8(codec::take(&mut rest)?.to_vec()).ok()?;
            let details = codec::take(&mut rest)?;
            let metadata = MetadataMap::from_headers(codec::take_headers(&mut rest)?);
            Err(Status::with_details_and_metadata(
                code, message, details, metadata,
            ))
        }
        _ => return None,
    };
    rest.is_empty()
        .then(|| Record::Ended(fingerprint, Box::new(outcome)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_outcome_is_replayed_as_it_was(
            message in proptest::collection::vec(any::<u8>(), 0..100),
            names in proptest::collection::vec(("[a-z]{1,4}", "[ -~]{0,4}"), 0..4),
            text in "\\PC{0,20}",
            code in 1_i32..17,
        ) {
            let headers: HeaderMap = names.iter().map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            }).collect();
            let answer = Answer {
                message: message.clone().into(),
                metadata: headers.clone(),
                trailers: headers.clone(),
            };
            let status = Status::with_details_and_metadata(
                Code::from(code), text, message.into(), MetadataMap::from_headers(headers),
            );
            for outcome in [Ok(answer), Err(status)] {
                let value = ended(&[7; 32], &outcome, 1 << 20);
                let Some(Record::Ended(fingerprint, found)) = read(&value) else {
                    panic!("{value:?}");
                };
                prop_assert_eq!(fingerprint, [7; 32]);
                match (*found, outcome) {
                    (Ok(found), Ok(outcome)) => prop_assert_eq!(found, outcome),
                    (Err(found), Err(outcome)) => {
                        prop_assert_eq!(found.code(), outcome.code());
                        prop_assert_eq!(found.message(), outcome.message());
                        prop_assert_eq!(found.details(), outcome.details());
                        let (found, outcome) = (found.metadata(), outcome.metadata());
                        prop_assert_eq!(found.as_ref(), outcome.as_ref());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }

        #[test]
        fn no_value_makes_it_panic(value in proptest::collection::vec(any::<u8>(), 0..200), kind in 96_u8..102) {
            read(&value);
            read(&[&[kind][..], &value].concat());
        }
    }

    #[test]
    fn a_large_answer_is_known_to_have_been() {
        let answer = Answer {
            message: vec![0; 100].into(),
            ..Answer::default()
        };
        let value = ended(&[7; 32], &Ok(answer), 99);
        assert!(
            matches!(read(&value), Some(Record::TooLarge(fingerprint)) if fingerprint == [7; 32])
        );
    }
}
