//! A file is sent to a source, and resumed where it broke.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use rpc::backoff::Backoff;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::list::path;
use crate::client::{Body, Client, Error};
use crate::commands::desk::{integer, quoted};
use crate::ui;

/// Bytes that are read at a time.
const BLOCK: usize = 256 * 1024;
/// Blocks between the file and the connection.
const BLOCKS: usize = 4;
/// Attempts without progress.
const ATTEMPTS: u32 = 8;
/// Pauses between attempts.
const BACKOFF: Backoff = Backoff::equal_jitter(Duration::from_millis(100), Duration::from_secs(5));

/// The arguments of `sources send`.
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// Name of the source
    source: String,
    /// File to send
    file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sent {
    unit: String,
    #[serde(deserialize_with = "integer")]
    received_bytes: i64,
    repeated_file: bool,
}

pub(super) async fn send(client: &Client, args: &Send) -> Result<()> {
    let (sha256, size) = digest(&args.file).await?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let (mut offset, mut failures) = (0, 0);
    let sent = loop {
        let target = format!(
            "{}:send?name={}&sizeBytes={size}&sha256={sha256}&offset={offset}",
            path(&args.source),
            quoted(&name)
        );
        let body = body(&args.file, offset).await?;
        let answer: Result<Sent, Error> = client
            .upload(&target, "application/octet-stream", body)
            .await;
        let error = match answer {
            Ok(sent) => break sent,
            Err(error) => error,
        };
        failures += 1;
        match received(&error) {
            // The bytes before are durable.
            Some(received) if received != offset => {
                failures = 0;
                offset = received;
            }
            _ if error.is_transient() && failures < ATTEMPTS => {
                tokio::time::sleep(BACKOFF.pause(failures)).await;
            }
            _ => return Err(error.into()),
        }
    };
    ui::print(match sent.repeated_file {
        true => format!(
            "{} has read these bytes before: nothing changes",
            args.source
        ),
        false => format!("{} bytes sent, unit {}", sent.received_bytes, sent.unit),
    });
    Ok(())
}

/// Returns a file from a position on, as a body.
pub(super) async fn body(file: &Path, offset: u64) -> Result<Body> {
    let mut file = File::open(file)
        .await
        .with_context(|| format!("cannot open {}", file.display()))?;
    file.seek(SeekFrom::Start(offset)).await?;
    let (sender, blocks) = tokio::sync::mpsc::channel(BLOCKS);
    tokio::spawn(async move {
        loop {
            let mut block = vec![0; BLOCK];
            let block = match file.read(&mut block).await {
                Ok(0) => return,
                Ok(read) => {
                    block.truncate(read);
                    Ok(Bytes::from(block))
                }
                Err(error) => Err(error),
            };
            let is_broken = block.is_err();
            if sender.send(block).await.is_err() || is_broken {
                return;
            }
        }
    });
    let frames = ReceiverStream::new(blocks).map(|block| block.map(Frame::data));
    Ok(StreamBody::new(frames).boxed_unsync())
}

/// Returns the number of durable bytes that a rejection tells.
fn received(error: &Error) -> Option<u64> {
    let Error::Rejected { details, .. } = error else {
        return None;
    };
    let metadata = details.iter().filter_map(|detail| detail.get("metadata"));
    let mut told = metadata.filter_map(|metadata| metadata.get("received_bytes")?.as_str());
    told.next()?.parse().ok()
}

async fn digest(path: &Path) -> Result<(String, u64)> {
    let open = || format!("cannot open {}", path.display());
    let mut file = File::open(path).await.with_context(open)?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        let read = file.read(&mut block).await?;
        if read == 0 {
            break;
        }
        digest.update(block.get(..read).unwrap_or_default());
        size += read as u64;
    }
    if size == 0 {
        bail!("{} is empty", path.display());
    }
    Ok((format!("{:x}", digest.finalize()), size))
}
