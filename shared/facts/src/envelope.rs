//! The message of a fact: its identity, its CloudEvents headers (binary mode), and their parser.

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use contract::Event;
use uuid::Uuid;

use crate::error::Error;
use crate::subject::{self, MAX_KEY_BYTES};

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// Position of the fact in its aggregate's chain, counted from 1.
const VERSION: &str = "Mesh-Version";
/// Set on a fact that found no earlier message of its subject in the stream though it is not the
/// aggregate's first: the earlier ones had expired, or the stream was rebuilt.
pub const FIRST: &str = "Mesh-First";
/// Sequence in the stream of the fact before this one in the chain, as far as the relay knew it;
/// negative: how many messages before this one.
pub const PREDECESSOR: &str = "Mesh-Predecessor";
const CE_ID: &str = "ce-id";
const CE_TYPE: &str = "ce-type";

/// The largest encoded fact, in bytes: with its headers it stays below a NATS server's default
/// `max_payload` of 1 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 1_000_000;

/// A row of the outbox.
#[derive(Debug)]
pub struct OutboxRow {
    /// Place among all rows of the outbox.
    pub id: i64,
    /// Context of the fact: the service that publishes it.
    pub context: String,
    /// Kind of aggregate.
    pub aggregate: String,
    /// The aggregate.
    pub key: String,
    /// Position in the aggregate's chain, from 1.
    pub version: i64,
    /// Full message name.
    pub kind: String,
    /// Trace of the transaction that published it (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The encoded message.
    pub payload: Vec<u8>,
    /// When it was published.
    pub created_at: DateTime<Utc>,
    /// Identifies the fact, whatever its place: equal for every attempt to publish it, so that the
    /// server recognises a repeat.
    pub fact_id: Uuid,
}

/// A message as the stream holds it, to be compared with a row.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Sequence in the stream.
    pub sequence: u64,
    /// `None`: not a fact.
    pub version: Option<i64>,
    /// Identity of the fact.
    pub id: Option<String>,
    /// Full message name.
    pub kind: Option<String>,
    /// The encoded message.
    pub payload: Bytes,
}

/// A fact, read from the stream.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The subject that it was published on.
    pub subject: String,
    /// The aggregate.
    pub key: String,
    /// Position in the aggregate's chain, from 1.
    pub version: i64,
    /// Sequence in the stream.
    pub sequence: u64,
    /// Full message name.
    pub kind: String,
    /// Trace of the transaction that published it (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The stream held no earlier message of its subject when it was published.
    pub is_first: bool,
    /// Sequence of the fact before it; none if the relay did not know it.
    pub predecessor: Option<u64>,
    /// The encoded message.
    pub payload: Bytes,
}

// === impl OutboxRow ===

impl OutboxRow {
    /// Returns the subject of the fact.
    pub fn subject(&self) -> String {
        subject::of(&self.context, &self.aggregate, &self.key)
    }

    /// Returns the headers of the message; its body is the payload.
    pub fn headers(&self) -> HeaderMap {
        let id = self.fact_id.to_string();
        let time = self.created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
        headers.insert("ce-specversion", "1.0");
        headers.insert(CE_ID, id);
        headers.insert("ce-source", format!("/{}", self.context));
        headers.insert(CE_TYPE, self.kind.as_str());
        headers.insert("ce-subject", subject::header_value(&self.key));
        headers.insert("ce-time", time);
        headers.insert("content-type", "application/protobuf");
        headers.insert(VERSION, self.version.to_string());
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT, traceparent.as_str());
        }
        headers
    }
}

// === impl Stored ===

impl Stored {
    /// Reads a message of the stream, whoever wrote it.
    pub fn read(message: StreamMessage) -> Self {
        let text = |name| header(&message.headers, name).map(str::to_owned);
        Self {
            version: header(&message.headers, VERSION).and_then(version),
            id: text(CE_ID),
            kind: text(CE_TYPE),
            sequence: message.sequence,
            payload: message.payload,
        }
    }

    /// Returns whether this is the fact of `row`, which has the same subject: by id, else by
    /// version, type and payload.
    pub fn is(&self, row: &OutboxRow) -> bool {
        let is_same_id = self.id.as_deref() == Some(row.fact_id.to_string().as_str());
        let is_same_content = self.version == Some(row.version)
            && self.kind.as_deref() == Some(row.kind.as_str())
            && self.payload == row.payload;
        is_same_id || is_same_content
    }
}

// === impl Fact ===

impl Fact {
    /// Parses a message; `None` if it has no version or type, or its subject is not one of this
    /// crate.
    ///
    /// Also `None` if inbox or parking could not hold it: Postgres text holds no NUL, and each
    /// version has a next one.
    pub fn read(subject: &str, sequence: u64, headers: &HeaderMap, payload: Bytes) -> Option<Self> {
        let key = subject::key(subject)?;
        let kind = header(headers, CE_TYPE)?;
        let traceparent = header(headers, TRACEPARENT);
        if [&key, kind, traceparent.unwrap_or_default()]
            .iter()
            .any(|text| text.contains('\0'))
        {
            return None;
        }
        Some(Self {
            subject: subject.to_owned(),
            key,
            version: header(headers, VERSION).and_then(version)?,
            sequence,
            kind: kind.to_owned(),
            traceparent: traceparent.map(str::to_owned),
            is_first: header(headers, FIRST).is_some(),
            predecessor: header(headers, PREDECESSOR).and_then(|text| predecessor(text, sequence)),
            payload,
        })
    }
}

/// Checks that a key makes a subject, and that the server accepts the payload.
///
/// # Errors
/// [`Error::Key`], [`Error::TooLarge`].
pub fn check<E: Event>(fact: &E) -> Result<(), Error> {
    let bytes = fact.key().len();
    if !(1..=MAX_KEY_BYTES).contains(&bytes) {
        return Err(Error::Key {
            fact: E::TYPE,
            bytes,
            max: MAX_KEY_BYTES,
        });
    }
    match fact.encoded_len() {
        bytes if bytes > MAX_PAYLOAD_BYTES => Err(Error::TooLarge {
            fact: E::TYPE,
            bytes,
            max: MAX_PAYLOAD_BYTES,
        }),
        _ => Ok(()),
    }
}

/// Parses a version; each has a next one.
fn version(text: &str) -> Option<i64> {
    let version = text.parse().ok();
    version.filter(|version| (1..i64::MAX).contains(version))
}

fn predecessor(text: &str, sequence: u64) -> Option<u64> {
    match text.strip_prefix('-') {
        Some(messages) => sequence.checked_sub(messages.parse().ok()?),
        None => text.parse().ok(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

/// Facts for the tests of crates that read and write them.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::*;

    /// Returns a row whose key needs escaping.
    pub fn outgoing() -> OutboxRow {
        OutboxRow {
            id: 1,
            context: "ingest".into(),
            aggregate: "account".into(),
            key: "müller & co.".into(),
            version: 7,
            kind: "ingest.v1.InvoiceAccepted".into(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            payload: vec![1, 2, 3],
            created_at: DateTime::UNIX_EPOCH,
            fact_id: Uuid::from_u128(7),
        }
    }

    /// A fact about `key`, whose sequence grows with its version.
    pub fn fact(key: &str, version: i64, kind: &str) -> Fact {
        Fact {
            subject: subject::of("ingest", "account", key),
            key: key.into(),
            version,
            sequence: version.unsigned_abs() * 10,
            kind: kind.into(),
            traceparent: None,
            is_first: false,
            predecessor: None,
            payload: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::outgoing;
    use super::*;

    #[test]
    fn headers_carry_a_fact_to_its_reader() {
        let sent = outgoing();
        let subject = sent.subject();
        let payload = Bytes::from(sent.payload.clone());
        let read = Fact::read(&subject, 9, &sent.headers(), payload).unwrap();
        assert_eq!((read.key, read.version, read.sequence), (sent.key, 7, 9));
        assert_eq!((read.kind, read.traceparent), (sent.kind, sent.traceparent));
        assert_eq!(read.payload, sent.payload);
    }

    #[test]
    fn a_predecessor_is_a_sequence_or_so_many_messages_before() {
        let cases = [
            ("7", Some(7)),
            ("-2", Some(98)),
            ("-200", None),
            ("x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(predecessor(text, 100), expected, "{text}");
        }
    }

    #[test]
    fn headers_are_cloudevents() {
        let sent = outgoing();
        let headers = sent.headers();
        let value = |name| header(&headers, name).unwrap();
        assert_eq!(value("ce-specversion"), "1.0");
        assert_eq!(value("ce-source"), "/ingest");
        assert_eq!(value("ce-subject"), "m%C3%BCller%20&%20co.");
        assert_eq!(value("ce-time"), "1970-01-01T00:00:00.000000Z");
        assert_eq!(value("ce-id"), value("Nats-Msg-Id"));
    }

    #[test]
    fn messages_without_a_version_are_not_facts() {
        let sent = outgoing();
        let subject = sent.subject();
        for version in ["", "0", "-1", "x", "9223372036854775807"] {
            let mut headers = sent.headers();
            headers.insert(VERSION, version);
            assert!(Fact::read(&subject, 1, &headers, Bytes::new()).is_none());
        }
    }

    #[test]
    fn messages_with_a_nul_in_their_identity_are_not_facts() {
        let sent = outgoing();
        let subject = subject::of(&sent.context, &sent.aggregate, "a\0b");
        assert!(Fact::read(&subject, 1, &sent.headers(), Bytes::new()).is_none());
        for name in [CE_TYPE, TRACEPARENT] {
            let subject = sent.subject();
            let mut headers = sent.headers();
            headers.insert(name, "a\0b");
            assert!(Fact::read(&subject, 1, &headers, Bytes::new()).is_none());
        }
    }
}
