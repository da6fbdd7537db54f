//! The stream of the trail.

use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    Config, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, message::StreamMessage};
use async_nats::{Client, ConnectOptions, HeaderMap, Request, ServerAddr, header};
use bytes::Bytes;
use tokio::time::timeout;

use crate::settings::Settings;

/// The name of the stream.
pub(crate) const STREAM: &str = "AUDIT";

/// The subjects of the stream: one for each chain.
const SUBJECTS: &str = "audit.*";
const PREFIX: &str = "audit.";

/// "wrong last sequence", with and without the sequence.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];

/// The stream, to be written.
#[derive(Debug)]
pub(crate) struct Broker {
    client: Client,
    stream: Stream,
    timeout: Duration,
}

/// Why a message is not in the stream, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The subject ends with another message than expected.
    #[error("the chain in the stream ends elsewhere")]
    Fenced,
    /// The server does not answer, or rejects it.
    #[error(transparent)]
    Failed(#[from] async_nats::Error),
}

/// Returns the subject of the chain of a writer.
pub(crate) fn subject(writer: &str) -> String {
    format!("{PREFIX}{writer}")
}

/// Returns the writer whose chain has a subject.
pub(crate) fn writer(subject: &str) -> &str {
    subject.strip_prefix(PREFIX).unwrap_or(subject)
}

/// Connects to a server with JetStream.
pub(crate) async fn connect(
    url: &str,
    patience: Duration,
) -> Result<(Client, jetstream::Context), async_nats::Error> {
    let address: ServerAddr = url.parse()?;
    let options = ConnectOptions::new().name("protomesh-audit");
    // The client itself ignores them.
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => options.user_and_password(user.into(), password.into()),
        _ => options,
    };
    let client = timeout(patience, options.connect(address)).await??;
    let context = ContextBuilder::new()
        .timeout(patience)
        .build(client.clone());
    Ok((client, context))
}

// === impl Broker ===

impl Broker {
    /// Connects, and creates the stream unless there is one.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, async_nats::Error> {
        let (client, context) = connect(&settings.nats, settings.timeout()).await?;
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECTS.to_owned()],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            max_age: settings.max_age(),
            num_replicas: usize::try_from(settings.replicas).unwrap_or(1),
            deny_delete: true,
            deny_purge: true,
            ..Config::default()
        };
        let stream = context.get_or_create_stream(config).await?;
        let found = &stream.cached_info().config;
        if !(found.deny_delete && found.deny_purge) {
            tracing::warn!(stream = STREAM, "the stream lets entries be deleted");
        }
        Ok(Self {
            client,
            stream,
            timeout: settings.timeout(),
        })
    }

    /// Returns the last message of the stream.
    pub(crate) async fn last(&self) -> Result<Option<StreamMessage>, async_nats::Error> {
        self.last_of(SUBJECTS).await
    }

    /// Returns the last message of a subject.
    pub(crate) async fn last_of(
        &self,
        subject: &str,
    ) -> Result<Option<StreamMessage>, async_nats::Error> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends a message to a subject that ends with the message `end`, 0 for an empty one; returns
    /// its sequence once the server has stored it.
    pub(crate) async fn publish(
        &self,
        subject: String,
        end: u64,
        payload: Bytes,
    ) -> Result<u64, PublishError> {
        let mut headers = HeaderMap::new();
        let expected = header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
        headers.insert(expected, end.to_string());
        let request = Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(Some(self.timeout));
        let answer = self.client.send_request(subject, request).await;
        let answer = answer.map_err(async_nats::Error::from)?;
        match serde_json::from_slice(&answer.payload).map_err(async_nats::Error::from)? {
            Response::Ok::<PublishAck>(ack) => Ok(ack.sequence),
            Response::Err { error } if WRONG_LAST_SEQUENCE.contains(&error.error_code().0) => {
                Err(PublishError::Fenced)
            }
            Response::Err { error } => Err(async_nats::Error::from(error).into()),
        }
    }
}
