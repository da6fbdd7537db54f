//! One upload: a task reads bytes into rows, another one commits them, in bounded memory.

mod writer;

use std::time::Duration;

use protos::ingest::v1::UploadImportRequest;
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use super::Ingest;
use crate::{
    convert,
    error::Error,
    model::{Import, Intake, ReadRow},
    store::{self, Position},
};
use writer::{Part, Writer};

/// Most rows of a part: the writer commits while further ones are read.
const PART_ROWS: usize = 500;
/// Most parts between reader and writer.
const PARTS: usize = 8;
/// How long an upload may be idle: it holds one of few permits.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Reads the bytes of an upload.
struct Reader<'a> {
    service: &'a Ingest,
    intake: Intake,
    size_bytes: i64,
    /// Hashes an upload of the whole file, if its caller named the digest.
    digest: Option<(Sha256, String)>,
    /// Rows that are not sent yet.
    rows: Vec<ReadRow>,
    parts: mpsc::Sender<Part>,
    is_header_sent: bool,
}

/// Why the reader stopped before the end of the upload.
enum Stop {
    /// The upload failed: what was read is committed.
    Failed(Status),
    /// The bytes are another file's: what was read is dropped.
    Foreign(Error),
    /// The writer has ended, and knows why.
    WriterEnded,
}

/// Runs an upload to its end and returns the import after its last byte.
pub(super) async fn run(
    service: &Ingest,
    mut stream: Streaming<UploadImportRequest>,
) -> Result<Import, Status> {
    let first = stream.message().await?.ok_or(Error::EmptyUpload)?;
    let import_id = convert::import_id(&first.import_id)?;
    let position = store::position(&service.pool, import_id).await?;
    let (parts, received) = mpsc::channel(PARTS);
    let mut reader = Reader::open(service, &position, first.offset, parts)?;
    let writer = Writer::new(service, position)?.run(received);
    // Dropped with the call: nothing is committed for a caller who is gone.
    let writer = AbortOnDropHandle::new(tokio::spawn(writer.in_current_span()));
    let read = match reader.run(first, &mut stream).await {
        Err(Stop::Foreign(error)) => {
            writer.abort();
            return Err(error.into());
        }
        Err(Stop::Failed(status)) => Err(status),
        Ok(()) | Err(Stop::WriterEnded) => Ok(()),
    };
    // Without further parts the writer ends.
    drop(reader);
    let written = writer.await.map_err(|_| Error::WriterDied)?;
    read?;
    written?;
    Ok(store::import(&service.pool, import_id).await?)
}

impl<'a> Reader<'a> {
    fn open(
        service: &'a Ingest,
        position: &Position,
        offset: i64,
        parts: mpsc::Sender<Part>,
    ) -> Result<Self, Error> {
        if offset != position.received_bytes {
            return Err(Error::OffsetMismatch {
                offset,
                received_bytes: position.received_bytes,
            });
        }
        let mapping = service.mapping(&position.source)?.clone();
        let intake = match &position.header {
            Some(header) => Intake::resume(mapping, header.clone(), offset, position.rows_read)?,
            None => Intake::from_start(mapping),
        };
        let named = position.sha256.clone().filter(|_| offset == 0);
        Ok(Self {
            service,
            intake,
            size_bytes: position.size_bytes,
            digest: named.map(|named| (Sha256::new(), named)),
            rows: Vec::new(),
            parts,
            is_header_sent: position.header.is_some(),
        })
    }

    async fn run(
        &mut self,
        first: UploadImportRequest,
        stream: &mut Streaming<UploadImportRequest>,
    ) -> Result<(), Stop> {
        self.read(&data(first)).await?;
        while let Some(message) = self.next(stream).await? {
            self.read(&data(message)).await?;
        }
        self.end().await
    }

    async fn next(
        &self,
        stream: &mut Streaming<UploadImportRequest>,
    ) -> Result<Option<UploadImportRequest>, Stop> {
        tokio::select! {
            () = self.service.draining.cancelled() => Err(Error::Stopping.into()),
            // Its reason is the writer's.
            () = self.parts.closed() => Err(Stop::WriterEnded),
            message = timeout(IDLE_MAX, stream.message()) => match message {
                Ok(message) => message.map_err(Stop::Failed),
                Err(_) => Err(Error::UploadIdle(IDLE_MAX.as_secs()).into()),
            },
        }
    }

    async fn read(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let end = self
            .intake
            .offset()
            .saturating_add_unsigned(bytes.len() as u64);
        if end > self.size_bytes {
            return Err(Error::TooManyBytes(self.size_bytes).into());
        }
        if let Some((digest, _)) = &mut self.digest {
            digest.update(bytes);
        }
        let mut rest = bytes;
        while let Some(row) = self.intake.next(&mut rest).map_err(Error::from)? {
            self.push(row).await?;
        }
        self.send().await
    }

    /// Reads the last rows if the file is complete.
    async fn end(&mut self) -> Result<(), Stop> {
        let complete = self.intake.offset() == self.size_bytes;
        if complete {
            if let Some((digest, expected)) = self.digest.take() {
                let found = format!("{:x}", digest.finalize());
                if found != expected {
                    return Err(Stop::Foreign(Error::ContentMismatch { expected, found }));
                }
            }
            while let Some(row) = self.intake.finish().map_err(Error::from)? {
                self.push(row).await?;
            }
            self.send().await?;
        }
        self.send_part(Part::End { complete }).await
    }

    async fn push(&mut self, row: ReadRow) -> Result<(), Stop> {
        self.rows.push(row);
        if self.rows.len() < PART_ROWS {
            return Ok(());
        }
        self.send().await?;
        // Reading keeps a thread busy: others get their turn.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Sends the rows that were read.
    async fn send(&mut self) -> Result<(), Stop> {
        if !self.is_header_sent && !self.intake.header().is_empty() {
            self.is_header_sent = true;
            let header = self.intake.header().to_vec();
            self.send_part(Part::Header(header)).await?;
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.send_part(Part::Rows(rows)).await
    }

    async fn send_part(&self, part: Part) -> Result<(), Stop> {
        self.parts.send(part).await.map_err(|_| Stop::WriterEnded)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

fn data(message: UploadImportRequest) -> Vec<u8> {
    message
        .content
        .map(|content| content.data)
        .unwrap_or_default()
}
