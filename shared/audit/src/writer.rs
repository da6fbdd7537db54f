//! The task that writes the chain of one process: batch after batch, each once the one before is
//! in the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prost::Message;
use rpc::backoff::Backoff;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{self, Broker, PublishError};
use crate::chain::{Chain, digest};
use crate::metrics::Figures;
use crate::pb::mesh::audit::v1::entry::Content;
use crate::pb::mesh::audit::v1::{Batch, Began, Ended, Entry, Link};
use crate::settings::Settings;

/// Most entries of a message: with 2 KiB each, half of the largest message of NATS.
const BATCH: usize = 256;

/// Pauses between attempts to publish.
const ATTEMPTS: Backoff =
    Backoff::equal_jitter(Duration::from_millis(20), Duration::from_millis(1000));

/// An entry that waits for the stream.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) time: SystemTime,
    pub(crate) not_recorded: u64,
    pub(crate) content: Content,
    /// Told once the entry is in the stream.
    pub(crate) recorded: Option<oneshot::Sender<()>>,
}

/// The state that callers see.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// Entries that are not in the stream yet.
    pub(crate) waiting: AtomicU64,
    /// The last attempt to publish has failed.
    pub(crate) is_away: AtomicBool,
    /// The stream has taken an entry since that.
    pub(crate) is_up: AtomicBool,
    pub(crate) figures: Figures,
}

/// The writer of a chain.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) status: Arc<Status>,
    pub(crate) items: mpsc::Receiver<Item>,
    broker: Option<Broker>,
    chain: Option<OpenChain>,
    /// The entries of the next message.
    batch: VecDeque<Item>,
}

#[derive(Clone, Debug)]
struct OpenChain {
    chain: Chain,
    /// Sequence of its last message in the stream; 0 before the first.
    end: u64,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(
        name: String,
        settings: Settings,
        status: Arc<Status>,
        items: mpsc::Receiver<Item>,
    ) -> Self {
        Self {
            name,
            settings,
            status,
            items,
            broker: None,
            chain: None,
            batch: VecDeque::new(),
        }
    }

    /// Writes until `shutdown`, and then all that waits and the end of the chain, as long as the
    /// stream takes it.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut received = Vec::with_capacity(BATCH);
        // The first message has the beginning alone.
        let mut is_written = self.flush(&shutdown).await;
        while is_written {
            let next = self.items.recv_many(&mut received, BATCH);
            match shutdown.run_until_cancelled(next).await {
                None | Some(0) => break,
                Some(_) => self.batch.extend(received.drain(..)),
            }
            is_written = self.flush(&shutdown).await;
        }
        while is_written {
            let ending = Item::now(Content::Ended(Ended {}), self.status.figures.dropped.get());
            while self.batch.len() < BATCH
                && let Ok(item) = self.items.try_recv()
            {
                self.batch.push_back(item);
            }
            let is_last = self.batch.len() < BATCH;
            if is_last {
                self.batch.push_back(ending);
            }
            is_written = self.flush(&shutdown).await && !is_last;
        }
        let lost = self.status.waiting.load(Ordering::Acquire);
        if lost > 0 {
            tracing::error!(lost, "entries of the audit trail are lost");
        }
    }

    /// Publishes the batch, for as long as it takes; after `shutdown` it makes one attempt. Returns
    /// whether it is in the stream.
    async fn flush(&mut self, shutdown: &CancellationToken) -> bool {
        let mut failures = 0;
        while let Err(error) = self.attempt().await {
            self.status.is_up.store(false, Ordering::Release);
            if !self.status.is_away.swap(true, Ordering::AcqRel) {
                tracing::error!(%error, "the audit trail can't be written");
            }
            failures += 1;
            let pause = tokio::time::sleep(ATTEMPTS.pause(failures));
            if shutdown.is_cancelled() {
                return false;
            }
            shutdown.run_until_cancelled(pause).await;
        }
        if self.status.is_away.swap(false, Ordering::AcqRel) {
            tracing::info!("the audit trail is written again");
        }
        self.status.is_up.store(true, Ordering::Release);
        true
    }

    async fn attempt(&mut self) -> Result<(), PublishError> {
        let broker = match self.broker.take() {
            Some(broker) => broker,
            None => Broker::open(&self.settings).await?,
        };
        let chain = match self.chain.take() {
            Some(chain) => chain,
            None => self.begin(&broker).await?,
        };
        if self.batch.is_empty() {
            (self.broker, self.chain) = (Some(broker), Some(chain));
            return Ok(());
        }
        // The same bytes in every attempt.
        let mut next = chain.clone();
        let entries = self.batch.iter().map(|item| {
            let time = item.time.into();
            next.chain
                .seal(time, item.not_recorded, item.content.clone())
        });
        let payload = Batch {
            entries: entries.collect(),
        };
        let payload = payload.encode_to_vec();
        let subject = broker::subject(&chain.chain.writer);
        let published = broker
            .publish(subject.clone(), chain.end, payload.clone().into())
            .await;
        let published = match published {
            Err(PublishError::Fenced) => match broker.last_of(&subject).await {
                // An attempt whose answer was lost.
                Ok(Some(last)) if last.payload == payload => Ok(last.sequence),
                Ok(_) => {
                    // The next attempt begins another chain.
                    let writer = &chain.chain.writer;
                    tracing::error!(writer, "the audit trail is not what was written");
                    return Err(PublishError::Fenced);
                }
                Err(error) => Err(error.into()),
            },
            other => other,
        };
        match published {
            Ok(end) => {
                next.end = end;
                (self.broker, self.chain) = (Some(broker), Some(next));
                self.recorded();
                Ok(())
            }
            Err(error) => {
                // The next attempt connects anew, and declares the stream.
                self.chain = Some(chain);
                Err(error)
            }
        }
    }

    /// Begins a chain after the last entry of the stream.
    async fn begin(&mut self, broker: &Broker) -> Result<OpenChain, async_nats::Error> {
        let last = broker.last().await?;
        let after = last.and_then(|message| {
            let batch = Batch::decode(&*message.payload).ok()?;
            let sealed = batch.entries.last()?;
            let entry = Entry::decode(&**sealed).ok()?;
            Some(Link {
                writer: entry.writer,
                sequence: entry.sequence,
                digest: digest(sealed).to_vec(),
                message: message.sequence,
            })
        });
        // Again in each attempt, as the end of the stream may be another one.
        let has_began = |item: &Item| matches!(item.content, Content::Began(_));
        if self.batch.front().is_some_and(has_began) {
            self.batch.pop_front();
        }
        let began = Item::now(Content::Began(Began { after }), 0);
        self.batch.push_front(began);
        let start = Uuid::now_v7().simple();
        let writer = format!("{}-{start}", self.name);
        tracing::info!(writer, "the audit trail begins");
        Ok(OpenChain {
            chain: Chain::new(writer),
            end: 0,
        })
    }

    fn recorded(&mut self) {
        let mut count = 0;
        for item in self.batch.drain(..) {
            // The writer's own entries do not wait in the queue.
            let is_own = matches!(item.content, Content::Began(_) | Content::Ended(_));
            count += u64::from(!is_own);
            if let Some(recorded) = item.recorded {
                let _ = recorded.send(());
            }
        }
        self.status.waiting.fetch_sub(count, Ordering::AcqRel);
        self.status.figures.recorded.add(count);
    }
}

// === impl Item ===

impl Item {
    pub(crate) fn now(content: Content, not_recorded: u64) -> Self {
        Self {
            time: SystemTime::now(),
            not_recorded,
            content,
            recorded: None,
        }
    }
}
