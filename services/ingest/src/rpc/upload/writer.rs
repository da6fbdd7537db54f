//! Commits the rows of an upload in batches while further ones are read.

use std::sync::Arc;
use std::time::Duration;

use chassis::changes::Watchers;
use events::Bus;
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    error::Error,
    model::{Mapping, PendingRows, ReadRow},
    rpc::Ingest,
    store::{self, Position},
};

/// Rows after which a batch is due: enough that the commit costs little compared with the rows.
const BATCH_ROWS: usize = 5000;
/// Bytes of rows in memory after which a batch is due.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Age at which a batch is due, so that a slow upload shows its progress.
const BATCH_AGE: Duration = Duration::from_millis(200);

/// A part of an upload, in the order of the file.
#[derive(Debug)]
pub(super) enum Part {
    /// Its column names.
    Header(Vec<String>),
    /// Its next rows.
    Rows(Vec<ReadRow>),
    /// The upload ends here.
    End {
        /// And with it the file.
        complete: bool,
    },
}

/// Writes an upload.
pub(super) struct Writer {
    pool: PgPool,
    bus: Bus,
    watchers: Watchers,
    mapping: Arc<Mapping>,
    position: Position,
    pending: PendingRows,
    /// Time of the last commit.
    last_batch: Instant,
}

impl Writer {
    pub(super) fn new(service: &Ingest, position: Position) -> Result<Self, Error> {
        Ok(Self {
            pool: service.pool.clone(),
            bus: service.bus.clone(),
            watchers: service.watchers.clone(),
            mapping: service.mapping(&position.source)?.clone(),
            pending: PendingRows::new(position.received_bytes, position.rows_read),
            position,
            last_batch: Instant::now(),
        })
    }

    /// Commits what it receives, to the end of the upload or of its parts.
    pub(super) async fn run(mut self, mut parts: mpsc::Receiver<Part>) -> Result<(), Error> {
        loop {
            match self.next(&mut parts).await {
                Some(Part::Header(header)) => self.position.header = Some(header),
                Some(Part::Rows(rows)) => {
                    rows.into_iter().for_each(|row| self.pending.push(row));
                }
                Some(Part::End { complete }) => return self.end(complete).await,
                // The reader failed: what it has read is kept.
                None if parts.is_closed() => return self.end(false).await,
                // The batch is old.
                None => {}
            }
            if self.is_due() {
                self.commit(false).await?;
            }
        }
    }

    /// Returns the next part; `None` if there is none, or if the batch is due before it comes.
    async fn next(&self, parts: &mut mpsc::Receiver<Part>) -> Option<Part> {
        match self.pending.fresh() {
            (0, _) => parts.recv().await,
            _ => timeout_at(self.last_batch + BATCH_AGE, parts.recv())
                .await
                .ok()
                .flatten(),
        }
    }

    /// Commits all rows if the file is complete, else those of closed invoices.
    async fn end(mut self, complete: bool) -> Result<(), Error> {
        if self.position.received_bytes < self.position.size_bytes {
            self.commit(complete).await?;
        }
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
            &self.pool,
            &mut self.position,
            &mut self.pending,
            &self.mapping,
            at_end,
        )
        .await?;
        self.last_batch = Instant::now();
        if moved {
            self.bus.wake().await;
            self.watchers.wake();
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let (rows, bytes) = self.pending.fresh();
        rows >= BATCH_ROWS
            || bytes >= BATCH_BYTES
            || rows > 0 && self.last_batch.elapsed() >= BATCH_AGE
    }
}
