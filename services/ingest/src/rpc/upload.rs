//! One upload: reads bytes and commits batches as they arrive, in bounded memory.

use std::time::Duration;

use protos::ingest::v1::UploadImportRequest;
use tokio::time::{Instant, timeout_at};
use tonic::{Status, Streaming};

use super::Ingest;
use crate::{
    convert,
    error::Error,
    model::{Import, Intake},
    store::{self, Position},
};

/// Rows after which a batch is due: enough that the commit costs little compared with the rows.
const BATCH_ROWS: usize = 500;
/// Bytes of rows in memory after which a batch is due.
const BATCH_BYTES: usize = 1024 * 1024;
/// Age at which a batch is due, so that a slow upload shows its progress.
const BATCH_AGE: Duration = Duration::from_millis(200);
/// How long an upload may be idle: it holds one of few permits.
const IDLE_MAX: Duration = Duration::from_secs(60);

struct Upload<'a> {
    service: &'a Ingest,
    position: Position,
    intake: Intake,
    /// Time of the last commit, successful or not.
    last_batch: Instant,
}

/// Runs an upload to its end and returns the import after its last byte.
pub(super) async fn run(
    service: &Ingest,
    mut stream: Streaming<UploadImportRequest>,
) -> Result<Import, Status> {
    let first = stream.message().await?.ok_or(Error::EmptyUpload)?;
    let mut upload = Upload::open(service, &first.import_id, first.offset).await?;
    let import_id = upload.position.import_id;
    upload.take(&data(first)).await?;
    while let Some(message) = upload.next(&mut stream).await? {
        upload.take(&data(message)).await?;
    }
    upload.end().await?;
    Ok(store::import(&service.pool, import_id).await?)
}

impl<'a> Upload<'a> {
    async fn open(service: &'a Ingest, import_id: &str, offset: i64) -> Result<Self, Error> {
        let position = store::position(&service.pool, convert::import_id(import_id)?).await?;
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
        Ok(Self {
            service,
            position,
            intake,
            last_batch: Instant::now(),
        })
    }

    /// Waits for the next message; commits batches that are due meanwhile.
    async fn next(
        &mut self,
        stream: &mut Streaming<UploadImportRequest>,
    ) -> Result<Option<UploadImportRequest>, Status> {
        let idle = Instant::now() + IDLE_MAX;
        loop {
            let fresh = self.intake.pending().fresh().0 > 0 && !self.is_complete();
            let wake = if fresh {
                self.last_batch + BATCH_AGE
            } else {
                idle
            };
            tokio::select! {
                () = self.service.draining.cancelled() => return Err(Error::Stopping.into()),
                message = timeout_at(wake, stream.message()) => match message {
                    Ok(message) => return message,
                    Err(_) if fresh => self.commit(false).await?,
                    Err(_) => return Err(Error::UploadIdle(IDLE_MAX.as_secs()).into()),
                },
            }
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let size_bytes = self.position.size_bytes;
        if self
            .intake
            .offset()
            .saturating_add_unsigned(bytes.len() as u64)
            > size_bytes
        {
            return Err(Error::TooManyBytes(size_bytes));
        }
        let mut rest = bytes;
        while self.intake.take(&mut rest)? {
            if self.is_due() {
                self.commit(false).await?;
            }
        }
        Ok(())
    }

    /// Commits all rows if the file is complete, else those of closed invoices.
    async fn end(&mut self) -> Result<(), Error> {
        if self.position.received_bytes == self.position.size_bytes {
            return Ok(());
        }
        let complete = self.is_complete();
        if complete {
            self.intake.finish()?;
        }
        self.commit(complete).await?;
        let Position {
            import_id,
            rows_read,
            received_bytes,
            ..
        } = &self.position;
        tracing::info!(%import_id, rows_read, received_bytes, complete, "upload ended");
        Ok(())
    }

    async fn commit(&mut self, at_end: bool) -> Result<(), Error> {
        let moved = store::commit(
            &self.service.pool,
            &mut self.position,
            &mut self.intake,
            at_end,
        )
        .await?;
        self.last_batch = Instant::now();
        if moved {
            self.service.bus.wake().await;
            self.service.watchers.wake();
        }
        Ok(())
    }

    fn is_due(&mut self) -> bool {
        let (rows, bytes) = self.intake.pending().fresh();
        let due =
            rows >= BATCH_ROWS || bytes >= BATCH_BYTES || self.last_batch.elapsed() >= BATCH_AGE;
        // The returns are published with the file's last byte, which belongs to the last batch
        // only.
        due && !self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.intake.offset() == self.position.size_bytes
    }
}

fn data(message: UploadImportRequest) -> Vec<u8> {
    message
        .content
        .map(|content| content.data)
        .unwrap_or_default()
}
