//! A trial of a source with a file: what it would do, and nothing sent.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::Connect;
use crate::error::Error;
use crate::pb::mesh::connect::v1 as pb;
use crate::source::{Origin, Source, encoded};

/// Largest file of a trial, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Records that are shown without a limit in the request.
const DEFAULT_LIMIT: usize = 20;
/// Bytes of records and messages in a response; clients accept 4 MiB.
const MAX_SHOWN_BYTES: usize = 3 * 1024 * 1024;
/// How long an upload may be idle.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The unit of records that are tried.
const UNIT: &str = "trial";

// === impl Connect ===

impl Connect {
    pub(super) async fn attempt(
        &self,
        mut stream: Streaming<pb::TrySourceRequest>,
    ) -> Result<pb::TrySourceResponse, Status> {
        let first = stream.message().await?.ok_or(Error::EmptyUpload)?;
        let source = self.source(&first.source)?.clone();
        let limit = match usize::try_from(first.limit) {
            Ok(limit) if limit > 0 => limit,
            _ => DEFAULT_LIMIT,
        };
        let mut file = tempfile::tempfile().map_err(Error::from)?;
        let (mut next, mut size) = (Some(first), 0);
        while let Some(message) = next {
            let bytes = message.content.map(|content| content.data);
            let bytes = bytes.unwrap_or_default();
            size += bytes.len() as u64;
            if size > MAX_BYTES {
                return Err(Error::TooManyBytes(MAX_BYTES.cast_signed()).into());
            }
            file.write_all(&bytes).map_err(Error::from)?;
            let message = timeout(IDLE_MAX, stream.message()).await;
            next = message.map_err(|_| Error::UploadIdle(IDLE_MAX.as_secs()))??;
        }
        file.rewind().map_err(Error::from)?;
        let tried = spawn_blocking(move || attempt(&source, file, limit)).await;
        Ok(tried.map_err(Error::from)?)
    }
}

fn attempt(source: &Arc<Source>, file: File, limit: usize) -> pb::TrySourceResponse {
    let mut response = pb::TrySourceResponse::default();
    let mut reader = match source.open(file) {
        Ok(reader) => reader,
        Err(refusal) => {
            response.refusal = refusal.to_string();
            return response;
        }
    };
    let mut shown = 0;
    for read in &mut reader {
        let read = match read {
            Ok(read) => read,
            Err(refusal) => {
                response.refusal = refusal.to_string();
                break;
            }
        };
        let tried = one(source, read);
        response.read += 1;
        response.quarantined += i64::from(!tried.rule.is_empty());
        let bytes = tried.record.len() + tried.message.len() + tried.value.len();
        if response.records.len() < limit && shown + bytes <= MAX_SHOWN_BYTES {
            shown += bytes;
            response.records.push(tried);
        }
    }
    response
}

fn one(source: &Source, read: Result<formats::Record, formats::Flaw>) -> pb::TriedRecord {
    let origin = Origin {
        source: source.name(),
        unit: UNIT,
    };
    let held = match read {
        Err(flaw) => flaw.into(),
        Ok(record) => {
            let text = encoded(&record.value);
            match source.map(&origin, record) {
                Ok(message) => {
                    return pb::TriedRecord {
                        number: message.record.number.cast_signed(),
                        place: message.record.place.to_string(),
                        record: text,
                        message: source.json(&message),
                        ..pb::TriedRecord::default()
                    };
                }
                Err(held) => *held,
            }
        }
    };
    pb::TriedRecord {
        number: held.number.cast_signed(),
        place: held.place,
        record: held.record.unwrap_or_default(),
        message: String::new(),
        column: held.column,
        rule: held.rule,
        value: held.value,
    }
}
