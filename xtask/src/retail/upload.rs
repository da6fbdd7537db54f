//! Uploads a file and resumes after failures at the byte that the mesh has reached.

use std::io::SeekFrom;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::BytesMut;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use mesh::client::{self, Body, Client};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::OrderFile;
use super::json::int64;
use super::retry::{Error, Outage, retrying};

const CHUNK_BYTES: u64 = 64 * 1024;
/// Interval between chunks of a limited upload.
const TICK: Duration = Duration::from_millis(100);

/// Part of `ingest.v1.Import`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Import {
    pub(super) import_id: String,
    #[serde(deserialize_with = "int64")]
    pub(super) size_bytes: i64,
    #[serde(deserialize_with = "int64")]
    pub(super) received_bytes: i64,
    pub(super) state: String,
    #[serde(deserialize_with = "int64")]
    pub(super) rows_read: i64,
    #[serde(deserialize_with = "int64")]
    pub(super) rows_accepted: i64,
    #[serde(deserialize_with = "int64")]
    pub(super) invoices_published: i64,
    #[serde(deserialize_with = "int64")]
    pub(super) invoices_settled: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateImport<'a> {
    request_id: &'a str,
    source: &'a str,
    file_name: String,
    size_bytes: String,
    sha256: &'a str,
}

/// Creates an import; the same content returns the same import again.
pub(super) async fn create(
    client: &Client,
    file: &OrderFile,
    source: &str,
) -> Result<Import, client::Error> {
    let message = CreateImport {
        request_id: &file.sha256,
        source,
        file_name: file.name(),
        size_bytes: file.size.to_string(),
        sha256: &file.sha256,
    };
    client.post("/v1/imports", &message).await
}

/// Reads an import.
pub(super) async fn read(client: &Client, import_id: &str) -> Result<Import, client::Error> {
    client.get(&format!("/v1/imports/{import_id}")).await
}

/// Uploads the missing bytes of `file`, at most `rate` per second; returns the number of
/// resumptions.
///
/// # Errors
/// When there is no progress for too long, or a retry can't help.
pub(super) async fn send(
    client: &Client,
    file: &OrderFile,
    import: &Import,
    rate: Option<NonZeroU64>,
) -> Result<u32, Error> {
    let mut outage = Outage::default();
    let mut resumed = 0;
    let mut received = import.received_bytes;
    while received.cast_unsigned() < file.size {
        let sent = send_from(client, file, import, received, rate).await;
        let failure = match sent {
            Err(error) if !error.is_transient() => return Err(error),
            sent => sent.err(),
        };
        let now = retrying(async || read(client, &import.import_id).await).await?;
        if now.received_bytes > received {
            outage.over();
        }
        if failure.is_some() || now.received_bytes == received {
            resumed += 1;
            outage.pause(failure).await?;
        }
        received = now.received_bytes;
    }
    Ok(resumed)
}

async fn send_from(
    client: &Client,
    file: &OrderFile,
    import: &Import,
    offset: i64,
    rate: Option<NonZeroU64>,
) -> Result<Import, Error> {
    let start = offset.cast_unsigned();
    let mut reader = File::open(&file.path).await?;
    reader.seek(SeekFrom::Start(start)).await?;
    // A file that grows meanwhile is read to its announced size.
    let reader = reader.take(file.size - start);
    let path = format!("/v1/imports/{}:upload?offset={offset}", import.import_id);
    Ok(client.upload(&path, "text/csv", body(reader, rate)).await?)
}

fn body(file: Take<File>, rate: Option<NonZeroU64>) -> Body {
    let ticks_per_second = 1000 / TICK.as_millis() as u64;
    let chunk = rate.map_or(CHUNK_BYTES, |rate| {
        (rate.get() / ticks_per_second).clamp(1, 16 * CHUNK_BYTES)
    });
    let clock = rate.map(|_| {
        let mut clock = interval(TICK);
        // Late chunks must not become a burst.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    });
    let chunks = stream::try_unfold((file, clock), move |(mut file, mut clock)| async move {
        tick(clock.as_mut()).await;
        let mut bytes = BytesMut::with_capacity(chunk as usize);
        let length = (&mut file).take(chunk).read_buf(&mut bytes).await?;
        Ok((length > 0).then(|| (bytes.freeze(), (file, clock))))
    });
    StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

async fn tick(clock: Option<&mut Interval>) {
    if let Some(clock) = clock {
        clock.tick().await;
    }
}
