//! Reads and maps the records of a unit on a thread of its own, in chunks.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::source::{Message, Origin, Source};
use crate::store::Held;

/// Records of a chunk of a source that calls once per record.
const SINGLE_CHUNK: usize = 100;

/// Bytes of messages in a chunk: a request has to be smaller than what servers accept, 4 MiB.
const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// The records of a unit on their way to the delivery.
pub(super) struct Reading {
    pub(super) source: Arc<Source>,
    pub(super) unit: String,
    /// Number of the last record whose outcome is durable.
    pub(super) from: u64,
    pub(super) chunks: mpsc::Sender<Result<Chunk, formats::Refusal>>,
}

/// Consecutive records of a unit.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Number of its last record.
    pub(super) to: u64,
    pub(super) outcomes: Vec<Outcome>,
    /// No record follows.
    pub(super) ends: bool,
}

/// A record that was read.
#[derive(Debug)]
pub(super) enum Outcome {
    Mapped(Message),
    Held(Held),
}

/// The delivery has ended, and knows why.
struct Gone;

// === impl Reading ===

impl Reading {
    /// Reads a unit until its end, or until the delivery ends.
    pub(super) fn run(self, file: File) {
        // A closed channel has a receiver that knows why.
        let _ = self.read(file);
    }

    fn read(&self, file: File) -> Result<(), Gone> {
        let mut reader = match self.source.open(file) {
            Ok(reader) => reader,
            Err(refusal) => return self.send(Err(refusal)),
        };
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        let most = self.source.batch_size().unwrap_or(SINGLE_CHUNK);
        for read in &mut reader {
            let read = match read {
                Ok(read) => read,
                Err(refusal) => {
                    if !chunk.outcomes.is_empty() {
                        self.send(Ok(chunk))?;
                    }
                    return self.send(Err(refusal));
                }
            };
            let number = match &read {
                Ok(record) => record.number,
                Err(flaw) => flaw.number,
            };
            if number <= self.from {
                continue;
            }
            // A chunk is sent when another record follows: the last one knows that it is.
            if chunk.outcomes.len() >= most || bytes >= MAX_CHUNK_BYTES {
                self.send(Ok(std::mem::take(&mut chunk)))?;
                bytes = 0;
            }
            let outcome = self.outcome(read);
            if let Outcome::Mapped(message) = &outcome {
                bytes += message.wire.len();
            }
            chunk.outcomes.push(outcome);
            chunk.to = number;
        }
        if chunk.outcomes.is_empty() {
            return Ok(());
        }
        chunk.ends = true;
        self.send(Ok(chunk))
    }

    fn outcome(&self, read: Result<formats::Record, formats::Flaw>) -> Outcome {
        let origin = Origin {
            source: self.source.name(),
            unit: &self.unit,
        };
        match read {
            Err(flaw) => Outcome::Held(flaw.into()),
            Ok(record) => match self.source.map(&origin, record) {
                Ok(message) => Outcome::Mapped(message),
                Err(held) => Outcome::Held(*held),
            },
        }
    }

    fn send(&self, chunk: Result<Chunk, formats::Refusal>) -> Result<(), Gone> {
        self.chunks.blocking_send(chunk).map_err(|_| Gone)
    }
}
