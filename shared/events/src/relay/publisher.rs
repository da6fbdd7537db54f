//! Publishes to one stream and interprets the answers.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap, Request, header};
use bytes::Bytes;
use chassis::crash;
use facts::envelope::{self, OutboxRow, Stored};
use facts::error::Error;
use uuid::Uuid;

use crate::bus::REQUEST_TIMEOUT;

// Headers of an atomic batch (ADR-50), for which the client library has no names yet.
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// "wrong last sequence", with and without the sequence.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];
/// "atomic publish batch contains duplicate message id"
const BATCH_REPEATS: u64 = 10201;
/// "message size exceeds maximum allowed"
const TOO_LARGE: u64 = 10054;

/// A row with its place in the stream.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) row: &'a OutboxRow,
    pub(super) subject: String,
    /// The sequence that the subject must end at; none after an earlier message of the same batch
    /// and subject.
    pub(super) expected: Option<u64>,
    pub(super) predecessor: Predecessor,
}

/// The place of the fact before a row in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predecessor {
    /// The last sequence that the stream acknowledged for the subject; 0 before the first.
    At(u64),
    /// So many messages earlier in the same batch.
    Before(usize),
}

/// Why a publish did not succeed.
#[derive(Debug)]
pub(super) enum PublishError {
    /// The subject ends elsewhere than expected.
    Fenced,
    /// The batch holds a message that the stream holds already.
    Repeated,
    /// The server does not take the message, or the batch because of one of its messages.
    Refused(String),
    /// Rejected for another reason, or the outcome is unknown.
    Failed(Error),
}

pub(super) struct Publisher {
    client: Client,
    stream: Stream,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(client: Client, stream: Stream) -> Self {
        Self { client, stream }
    }

    /// Publishes all `messages` or none, and returns the sequence of the last.
    ///
    /// They are adjacent in the stream. No messages count as published.
    pub(super) async fn batch(&self, messages: &[Message<'_>]) -> Result<u64, PublishError> {
        let Some((last, staged)) = messages.split_last() else {
            return Ok(0);
        };
        if staged.is_empty() {
            return self.single(last).await;
        }
        // A new id per attempt: the server may still hold an abandoned batch under the old one.
        let id = Uuid::new_v4().to_string();
        for (message, sequence) in staged.iter().zip(1..) {
            let headers = batch_headers(message, &id, sequence);
            self.client
                .publish_with_headers(message.subject.clone(), headers, payload(message))
                .await
                .map_err(|error| failed("publishing a batch", error))?;
        }
        crash::point("events.relay.staged");
        let mut headers = batch_headers(last, &id, messages.len());
        headers.insert(BATCH_COMMIT, "1");
        self.request(last, headers).await
    }

    /// Publishes one message and returns its sequence; a repeat within the server's window returns
    /// the first one's.
    pub(super) async fn single(&self, message: &Message<'_>) -> Result<u64, PublishError> {
        self.request(message, headers(message)).await
    }

    /// Reads the sequence of the first message that the stream still has, or will have.
    pub(super) async fn first_sequence(&self) -> Result<u64, Error> {
        let info = self.stream.get_info().await;
        let info = info.map_err(|error| Error::jetstream("reading the stream", error))?;
        Ok(info.state.first_sequence)
    }

    /// Reads the last message of `subject`.
    pub(super) async fn end(&self, subject: &str) -> Result<Option<Stored>, Error> {
        found(self.stream.get_last_raw_message_by_subject(subject).await)
    }

    /// Reads the first message of `subject` behind the sequence `after` that is `version` or later,
    /// if it is `version`.
    pub(super) async fn next(
        &self,
        subject: &str,
        mut after: u64,
        version: i64,
    ) -> Result<Option<Stored>, Error> {
        loop {
            let next = self.stream.raw_message_builder().sequence(after + 1);
            let next = next.next_by_subject(subject).send().await;
            let Some(stored) = found(next)? else {
                return Ok(None);
            };
            match stored.version {
                Some(found) if found == version => return Ok(Some(stored)),
                Some(found) if found > version => return Ok(None),
                _ => after = stored.sequence,
            }
        }
    }

    async fn request(
        &self,
        message: &Message<'_>,
        headers: HeaderMap,
    ) -> Result<u64, PublishError> {
        let is_batch = headers.get(BATCH_ID).is_some();
        let request = Request::new()
            .headers(headers)
            .payload(payload(message))
            .timeout(Some(REQUEST_TIMEOUT));
        let answer = self
            .client
            .send_request(message.subject.clone(), request)
            .await
            .map_err(|error| failed("publishing", error))?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::Ok::<PublishAck>(ack)) => Ok(ack.sequence),
            Ok(Response::Err { error }) => Err(match error.error_code().0 {
                code if WRONG_LAST_SEQUENCE.contains(&code) => PublishError::Fenced,
                BATCH_REPEATS => PublishError::Repeated,
                TOO_LARGE => PublishError::Refused(error.to_string()),
                // The server does not say which message it is about: a staged one that it has
                // dropped leaves the batch incomplete.
                _ if is_batch => PublishError::Refused(error.to_string()),
                _ => failed("publishing", error),
            }),
            Err(error) => Err(failed("reading a publish acknowledgement", error)),
        }
    }
}

fn found(read: Result<StreamMessage, LastRawMessageError>) -> Result<Option<Stored>, Error> {
    match read {
        Ok(message) => Ok(Some(Stored::read(message))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::jetstream("reading a subject", error)),
    }
}

fn headers(message: &Message<'_>) -> HeaderMap {
    let mut headers = message.row.headers();
    if let Some(expected) = message.expected.filter(|_| !crash::skips("events.fence")) {
        headers.insert(
            header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            expected.to_string(),
        );
        if expected == 0 && message.row.version > 1 {
            headers.insert(envelope::FIRST, "true");
        }
    }
    match message.predecessor {
        Predecessor::At(0) => {}
        Predecessor::At(sequence) => headers.insert(envelope::PREDECESSOR, sequence.to_string()),
        Predecessor::Before(messages) => {
            headers.insert(envelope::PREDECESSOR, format!("-{messages}"));
        }
    }
    headers
}

fn batch_headers(message: &Message<'_>, id: &str, sequence: usize) -> HeaderMap {
    let mut headers = headers(message);
    headers.insert(BATCH_ID, id);
    headers.insert(BATCH_SEQUENCE, sequence.to_string());
    headers
}

fn payload(message: &Message<'_>) -> Bytes {
    Bytes::copy_from_slice(&message.row.payload)
}

fn failed(action: &'static str, error: impl Into<async_nats::Error>) -> PublishError {
    PublishError::Failed(Error::jetstream(action, error))
}
