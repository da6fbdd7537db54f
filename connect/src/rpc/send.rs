//! A file that is sent: its bytes go into the spool as they arrive.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::Connect;
use crate::error::Error;
use crate::intake::Digesting;
use crate::pb::mesh::connect::v1 as pb;
use crate::store::Received;

/// Bytes that become durable together.
const CHUNK: usize = 1024 * 1024;
/// How long an upload may be idle: it holds one of few permits.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The file of an upload.
struct Upload<'a> {
    connect: &'a Connect,
    source: &'a str,
    unit: &'a str,
    size_bytes: i64,
    position: i64,
    pending: Vec<u8>,
}

// === impl Connect ===

impl Connect {
    pub(super) async fn receive(
        &self,
        mut stream: Streaming<pb::SendFileRequest>,
    ) -> Result<pb::SendFileResponse, Status> {
        let first = stream.message().await?.ok_or(Error::EmptyUpload)?;
        let source = self.source(&first.source)?.name().to_owned();
        for (field, is_set) in [
            ("sha256", !first.sha256.is_empty()),
            ("size_bytes", first.size_bytes > 0),
        ] {
            if !is_set {
                return Err(Error::NotSet(field).into());
            }
        }
        let (unit, size_bytes) = (first.sha256.clone(), first.size_bytes);
        let is_done = self.store.is_done(&source, &unit).await;
        if is_done.map_err(Error::from)? {
            return Ok(response(unit, size_bytes, true));
        }
        let most = self.spool_max_bytes;
        let opened = self
            .store
            .open_spool(&source, &unit, &first.name, size_bytes, most);
        let opened = opened.await.map_err(Error::from)?;
        let received = opened.ok_or(Error::SpoolFull(most))?;
        if received.is_complete {
            return Ok(response(unit, size_bytes, false));
        }
        if received.bytes != first.offset {
            return Err(mismatch(first.offset, received).into());
        }
        let mut upload = Upload {
            connect: self,
            source: &source,
            unit: &unit,
            size_bytes,
            position: first.offset,
            pending: Vec::new(),
        };
        let outcome = upload.run(first, &mut stream).await;
        let received_bytes = upload.position;
        outcome?;
        Ok(response(unit, received_bytes, false))
    }

    /// Checks the bytes of a file that is there, and lets it be read.
    async fn complete(&self, source: &str, unit: &str, size_bytes: i64) -> Result<(), Error> {
        let (mut digest, mut position) = (Digesting::default(), 0);
        while let Some(chunk) = self.store.spool_chunk(source, unit, position).await? {
            position += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
            digest.add(&chunk);
        }
        let found = digest.end();
        if position != size_bytes || found != unit {
            self.store.remove_spooled(source, unit).await?;
            let expected = unit.to_owned();
            return Err(Error::ContentMismatch { expected, found });
        }
        self.store.complete_spool(source, unit).await?;
        Ok(())
    }
}

// === impl Upload ===

impl Upload<'_> {
    async fn run(
        &mut self,
        first: pb::SendFileRequest,
        stream: &mut Streaming<pb::SendFileRequest>,
    ) -> Result<(), Status> {
        let mut next = Some(first);
        let outcome = loop {
            let Some(message) = next else {
                break Ok(());
            };
            let bytes = message.content.map(|content| content.data);
            self.add(&bytes.unwrap_or_default()).await?;
            next = match self.next(stream).await {
                Ok(next) => next,
                // What has arrived stays.
                Err(status) => break Err(status),
            };
        };
        self.flush().await?;
        outcome?;
        if self.position == self.size_bytes {
            let done = self
                .connect
                .complete(self.source, self.unit, self.size_bytes);
            done.await?;
        }
        Ok(())
    }

    async fn next(
        &self,
        stream: &mut Streaming<pb::SendFileRequest>,
    ) -> Result<Option<pb::SendFileRequest>, Status> {
        tokio::select! {
            () = self.connect.draining.cancelled() => Err(Error::Stopping.into()),
            message = timeout(IDLE_MAX, stream.message()) => match message {
                Ok(message) => message,
                Err(_) => Err(Error::UploadIdle(IDLE_MAX.as_secs()).into()),
            },
        }
    }

    async fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let held = i64::try_from(self.pending.len() + bytes.len()).unwrap_or(i64::MAX);
        if self.position.saturating_add(held) > self.size_bytes {
            return Err(Error::TooManyBytes(self.size_bytes));
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < CHUNK {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.pending);
        let store = &self.connect.store;
        let appended = store.append_spool(self.source, self.unit, self.position, &bytes);
        match appended.await? {
            Some(end) => {
                self.position = end;
                Ok(())
            }
            // Another upload of the same file is ahead.
            None => {
                let received = store.spooled(self.source, self.unit).await?;
                Err(mismatch(self.position, received))
            }
        }
    }
}

fn mismatch(offset: i64, received: Received) -> Error {
    Error::OffsetMismatch {
        offset,
        received_bytes: received.bytes,
    }
}

fn response(unit: String, received_bytes: i64, repeated_file: bool) -> pb::SendFileResponse {
    pb::SendFileResponse {
        unit,
        received_bytes,
        repeated_file,
    }
}
