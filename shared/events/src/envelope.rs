//! The message of a fact: its identity, its CloudEvents headers (binary mode), and their parser.

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

pub(crate) mod subject;

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// Namespace of message ids (RFC 9562 §5.5); a random UUID, fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f0b_6b0e_3c0d_4f57_9a52_6f1d_52a1_c7e4);

/// Position of the fact in its aggregate's chain, counted from 1.
const VERSION: &str = "Mesh-Version";
const CE_ID: &str = "ce-id";
const CE_TYPE: &str = "ce-type";

/// A row of the outbox.
#[derive(Debug)]
pub(crate) struct OutboxRow {
    pub(crate) id: i64,
    pub(crate) lane: i16,
    pub(crate) context: String,
    pub(crate) aggregate: String,
    pub(crate) key: String,
    pub(crate) version: i64,
    pub(crate) kind: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) created_at: DateTime<Utc>,
}

/// A fact, read from the stream.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) subject: String,
    pub(crate) key: String,
    pub(crate) version: i64,
    /// Sequence in the stream.
    pub(crate) sequence: u64,
    pub(crate) kind: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) payload: Bytes,
}

/// Returns the id of a fact: equal for every attempt to publish it, so that the server recognises a
/// repeat.
pub(crate) fn message_id(subject: &str, version: i64) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{subject} {version}").as_bytes())
}

/// Returns the version of a stored message if it belongs to the chain that its subject names.
///
/// Compares `ce-id`, which a copy of the fact keeps.
pub(crate) fn chain_version(message: &StreamMessage) -> Option<i64> {
    let version = header(&message.headers, VERSION)?.parse().ok()?;
    let id = header(&message.headers, CE_ID)?;
    let ours = message_id(&message.subject, version).to_string();
    (id == ours).then_some(version)
}

// === impl OutboxRow ===

impl OutboxRow {
    pub(crate) fn subject(&self) -> String {
        subject::of(&self.context, &self.aggregate, &self.key)
    }

    pub(crate) fn headers(&self, subject: &str) -> HeaderMap {
        let id = message_id(subject, self.version).to_string();
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

// === impl Fact ===

impl Fact {
    /// Parses a message; `None` if it has no version or type, or its subject is not one of this
    /// crate.
    ///
    /// Also `None` if inbox or parking could not hold it: Postgres text holds no NUL, and each
    /// version has a next one.
    pub(crate) fn read(
        subject: &str,
        sequence: u64,
        headers: &HeaderMap,
        payload: Bytes,
    ) -> Option<Self> {
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
            version: header(headers, VERSION)?
                .parse()
                .ok()
                .filter(|version| (1..i64::MAX).contains(version))?,
            sequence,
            kind: kind.to_owned(),
            traceparent: traceparent.map(str::to_owned),
            payload,
        })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> OutboxRow {
        OutboxRow {
            id: 1,
            lane: 0,
            context: "ingest".into(),
            aggregate: "account".into(),
            key: "müller & co.".into(),
            version: 7,
            kind: "ingest.v1.InvoiceAccepted".into(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            payload: vec![1, 2, 3],
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn headers_carry_a_fact_to_its_reader() {
        let sent = outgoing();
        let subject = sent.subject();
        let payload = Bytes::from(sent.payload.clone());
        let read = Fact::read(&subject, 9, &sent.headers(&subject), payload).unwrap();
        assert_eq!((read.key, read.version, read.sequence), (sent.key, 7, 9));
        assert_eq!((read.kind, read.traceparent), (sent.kind, sent.traceparent));
        assert_eq!(read.payload, sent.payload);
    }

    #[test]
    fn headers_are_cloudevents() {
        let sent = outgoing();
        let headers = sent.headers(&sent.subject());
        let value = |name| header(&headers, name).unwrap();
        assert_eq!(value("ce-specversion"), "1.0");
        assert_eq!(value("ce-source"), "/ingest");
        assert_eq!(value("ce-subject"), "m%C3%BCller%20&%20co.");
        assert_eq!(value("ce-time"), "1970-01-01T00:00:00.000000Z");
        assert_eq!(value("ce-id"), value("Nats-Msg-Id"));
    }

    #[test]
    fn message_ids_are_stable_and_distinct() {
        let id = |version| message_id("evt.ingest.account.3.a", version);
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
        assert_ne!(id(1), message_id("evt.ingest.account.3.b", 1));
    }

    #[test]
    fn messages_without_a_version_are_not_facts() {
        let sent = outgoing();
        let subject = sent.subject();
        for version in ["", "0", "-1", "x", "9223372036854775807"] {
            let mut headers = sent.headers(&subject);
            headers.insert(VERSION, version);
            assert!(Fact::read(&subject, 1, &headers, Bytes::new()).is_none());
        }
    }

    #[test]
    fn messages_with_a_nul_in_their_identity_are_not_facts() {
        let sent = outgoing();
        let subject = subject::of(&sent.context, &sent.aggregate, "a\0b");
        assert!(Fact::read(&subject, 1, &sent.headers(&subject), Bytes::new()).is_none());
        for name in [CE_TYPE, TRACEPARENT] {
            let subject = sent.subject();
            let mut headers = sent.headers(&subject);
            headers.insert(name, "a\0b");
            assert!(Fact::read(&subject, 1, &headers, Bytes::new()).is_none());
        }
    }
}
