//! Reads the trail: to check it, and to search it.

use std::ops::ControlFlow;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use prost::Message;
use tokio::time::timeout;

use crate::broker::{STREAM, connect, writer};
use crate::chain::{Checker, Finding, Report};
use crate::pb::mesh::audit::v1::{Batch, Entry};

/// Longest wait for the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// "stream not found"
const NO_STREAM: u64 = 10059;

/// Why a trail can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no stream: no process has written a trail.
    #[error("there is no audit trail: the broker has no stream AUDIT")]
    NoTrail,
    /// The broker does not answer, or rejects the request.
    #[error("cannot read the audit trail: {0}")]
    Broker(#[from] async_nats::Error),
}

/// Checks all of the trail at a NATS server, as it is now.
///
/// # Errors
/// It can't be read. The inner error is the first mistake of the trail.
pub async fn verify(url: &str) -> Result<Result<Report, Finding>, ReadError> {
    let stream = open(url).await?;
    let info = stream.cached_info();
    // Entries expire by age alone, so that none has in a stream younger than that.
    let age = info.config.max_age;
    let created = std::time::SystemTime::from(info.created);
    let is_whole = age.is_zero() || created.elapsed().unwrap_or_default() < age;
    let mut checker = Checker::new(is_whole);
    let mut finding = None;
    let last = each(&stream, |sequence, writer, payload| {
        match checker.message(sequence, writer, payload) {
            Ok(_) => ControlFlow::Continue(()),
            Err(found) => {
                finding = Some(found);
                ControlFlow::Break(())
            }
        }
    })
    .await?;
    Ok(match finding {
        Some(finding) => Err(finding),
        None => checker.finish(last),
    })
}

/// Shows `visit` the entries of the trail at a NATS server, in the order of the stream. What is not
/// an entry is left out; [`verify`] finds it.
///
/// # Errors
/// It can't be read.
pub async fn entries(
    url: &str,
    mut visit: impl FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let stream = open(url).await?;
    each(&stream, |_, _, payload| {
        let batch = Batch::decode(payload).unwrap_or_default();
        let entries = batch.entries.iter();
        let mut entries = entries.filter_map(|sealed| Entry::decode(&**sealed).ok());
        entries.try_for_each(&mut visit)
    })
    .await?;
    Ok(())
}

async fn open(url: &str) -> Result<Stream, ReadError> {
    let (_, context) = connect(url, PATIENCE).await?;
    context.get_stream(STREAM).await.map_err(|error| {
        let is_missing = matches!(
            error.kind(),
            GetStreamErrorKind::JetStream(ref error) if error.error_code().0 == NO_STREAM
        );
        match is_missing {
            true => ReadError::NoTrail,
            false => ReadError::Broker(error.into()),
        }
    })
}

/// Shows `visit` the sequence, the writer and the payload of each message up to the one that is the
/// last now; returns its sequence, which may be that of a deleted message.
async fn each(
    stream: &Stream,
    mut visit: impl FnMut(u64, &str, &[u8]) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    let state = &stream.cached_info().state;
    let last = state.last_sequence;
    if state.messages == 0 {
        return Ok(last);
    }
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::All,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await;
    let consumer = consumer.map_err(async_nats::Error::from)?;
    let messages = consumer.messages().await;
    let mut messages = messages.map_err(async_nats::Error::from)?;
    loop {
        let next = timeout(PATIENCE, messages.next()).await;
        let next = next.map_err(async_nats::Error::from)?;
        let Some(message) = next.transpose().map_err(async_nats::Error::from)? else {
            return Ok(last);
        };
        let info = message.info()?;
        if info.stream_sequence > last {
            return Ok(last);
        }
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let visited = visit(sequence, writer(&message.subject), &message.payload);
        if visited.is_break() || pending == 0 || sequence == last {
            return Ok(last);
        }
    }
}
