//! Pulls messages, passes what is due of many keys to batches, and acknowledges.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::{AckKind, Acker};
use async_nats::jetstream::{self, consumer::pull};
use chassis::crash;
use facts::envelope::Fact;
use facts::error::Error;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, RECONNECT, stream};
use crate::consumer::Consumer;

use super::batch::{Next, Progress};
use super::declare;
use super::queues::{Delivery, Queues};
use super::reread::{Memory, Range, Rereading};
use super::settle::{Outcome, Settler};

/// Progress signals per `ack_wait`: two may get lost before the server delivers a message again.
const SIGNS_PER_ACK_WAIT: u32 = 3;

/// Interval in which a consumer records how much of the stream it has seen.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// Runs `consumer` until `shutdown`. Recovers from a lost connection and a deleted consumer.
pub(crate) async fn run(
    bus: &Bus,
    consumer: Consumer,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    consumer.check()?;
    let stop = shutdown.child_token();
    let mut dispatcher = Dispatcher::new(bus, consumer, stop.clone()).await?;
    let ended = dispatcher.run(bus).await;
    stop.cancel();
    dispatcher.drain(bus).await;
    ended
}

/// The end of a task.
enum Ended {
    /// The progress of each key; none if the process is shutting down.
    Batch(Vec<String>, Option<Vec<Progress>>),
    Single(String, Outcome),
    /// Facts of this range that were read again, and what is left of it; none if the process is
    /// shutting down.
    Reread(Range, Option<(Vec<Fact>, Range)>),
}

/// Holds the messages in progress: at most `max_ack_pending`.
struct Dispatcher {
    settler: Arc<Settler>,
    stop: CancellationToken,
    queues: Queues,
    tasks: JoinSet<Ended>,
    /// Batches among the tasks.
    batches: usize,
    /// When a batch begins in any case, if messages are due.
    begin_at: Option<Instant>,
    signs: Interval,
    looks: Interval,
    rereading: Rereading,
}

// === impl Dispatcher ===

impl Dispatcher {
    async fn new(bus: &Bus, consumer: Consumer, stop: CancellationToken) -> Result<Self, Error> {
        let name = stream::name(&consumer.context);
        let stream = bus
            .jetstream
            .get_stream_no_info(name)
            .await
            .map_err(|error| Error::jetstream("naming the stream", error))?;
        let mut signs = tokio::time::interval(bus.settings.ack_wait() / SIGNS_PER_ACK_WAIT);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is taken where the pull is opened.
        looks.reset();
        let consumer_name = consumer.name.clone();
        let settler = Settler {
            consumer,
            pool: bus.pool.clone(),
            stream,
            settings: bus.settings.clone(),
            metrics: bus.metrics.consumer(&consumer_name),
            permits: Semaphore::new(bus.settings.consumer_workers),
            shutdown: stop.clone(),
            memory: Memory::default(),
        };
        Ok(Self {
            settler: Arc::new(settler),
            stop,
            queues: Queues::new(bus.settings.consumer_max_ack_pending.into()),
            tasks: JoinSet::new(),
            batches: 0,
            begin_at: None,
            signs,
            looks,
            rereading: Rereading::default(),
        })
    }

    async fn run(&mut self, bus: &Bus) -> Result<(), Error> {
        let stop = self.stop.clone();
        let mut failures = 0;
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                opened = declare::open(bus, &self.settler.consumer) => opened,
            };
            let error = match opened {
                Ok((messages, forgotten)) => {
                    failures = 0;
                    self.rereading.add(&self.settler.consumer.name, forgotten);
                    match self.pull(messages).await {
                        None => return Ok(()),
                        Some(error) => error,
                    }
                }
                Err(error @ Error::Mismatch { .. }) => return Err(error),
                Err(error) => error,
            };
            failures += 1;
            let pause = RECONNECT.pause(failures);
            tracing::warn!(
                consumer = self.settler.consumer.name,
                error = &error as &dyn std::error::Error,
                ?pause,
                "consumer interrupted"
            );
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Pulls until shutdown (`None`) or until the pull fails. Messages in progress are kept either
    /// way.
    async fn pull(&mut self, messages: pull::Stream) -> Option<Error> {
        let most = self.settler.settings.consumer_batch_facts.into();
        let mut messages = messages.ready_chunks(most);
        let settler = self.settler.clone();
        loop {
            self.begin();
            self.reread();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                Some(ended) = self.tasks.join_next() => self.ended(ended).await,
                () = wait_until(self.begin_at) => {}
                _ = self.signs.tick() => self.sign().await,
                _ = self.looks.tick() => settler.look(self.rereading.is_pending()).await,
                () = settler.memory.forgotten.notified() => match settler.forgotten().await {
                    Ok(range) => self.rereading.add(&settler.consumer.name, Some(range)),
                    Err(error) => {
                        settler.memory.forgotten.notify_one();
                        return Some(error);
                    }
                },
                chunk = messages.next() => match chunk {
                    Some(chunk) => {
                        for message in chunk {
                            match message {
                                Ok(message) => self.accept(message).await,
                                // The client library pulls again only after the old pull expires,
                                // so a missed heartbeat too ends this pull.
                                Err(error) => return Some(Error::jetstream("pulling", error)),
                            }
                        }
                    }
                    None => return Some(Error::jetstream("pulling", "the pull ended")),
                },
            }
        }
    }

    /// Reads on in what the database has forgotten, while nothing of it is in work.
    fn reread(&mut self) {
        let is_busy = self.queues.is_rereading();
        let Some(range) = self.rereading.take(is_busy) else {
            return;
        };
        let settler = self.settler.clone();
        self.tasks
            .spawn(async move { Ended::Reread(range, settler.reread(range).await) });
    }

    async fn accept(&mut self, message: jetstream::Message) {
        let Some((fact, deliveries)) = read(&message) else {
            // It stays in the stream, under the sequence logged here.
            tracing::error!(
                consumer = self.settler.consumer.name,
                subject = %message.subject,
                reply = message.reply.as_deref(),
                "message is not a fact, skipped"
            );
            send(&message.split().1, AckKind::Term).await;
            return;
        };
        crash::point("events.consumer.received");
        if deliveries > 1 {
            self.settler.metrics.redelivered.inc();
        }
        let skipped = self.queues.insert(Delivery {
            fact: Arc::new(fact),
            acker: Some(message.split().1),
            deliveries,
        });
        if let Some(skipped) = skipped {
            acknowledge(&skipped, AckKind::Ack).await;
        }
    }

    /// Begins batches with the messages that are due: at once if none is running, else when one is
    /// full or a message has waited for long enough.
    fn begin(&mut self) {
        let settings = &self.settler.settings;
        let wait = Duration::from_millis(settings.consumer_batch_wait_ms);
        let most = usize::from(settings.consumer_batch_facts);
        while self.batches < settings.consumer_workers {
            let due = self.queues.due();
            if due == 0 {
                break;
            }
            let now = Instant::now();
            let begin_at = *self.begin_at.get_or_insert(now + wait);
            if self.batches > 0 && due < most && now < begin_at {
                return;
            }
            self.begin_at = None;
            let runs = self.queues.take(most);
            let facts: usize = runs.iter().map(|run| run.facts.len()).sum();
            self.settler.metrics.batches.observe(facts as f64);
            let settler = self.settler.clone();
            self.batches += 1;
            self.tasks.spawn(async move {
                let progress = settler.settle(&runs).await;
                Ended::Batch(runs.into_iter().map(|run| run.key).collect(), progress)
            });
        }
        // The end of a task is the next occasion.
        self.begin_at = None;
    }

    /// Acknowledges what a task has settled, and sees to what it has not.
    async fn ended(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended::Batch(keys, progress)) => {
                self.batches -= 1;
                let mut progress = progress.map(Vec::into_iter);
                for key in keys {
                    match progress.as_mut().and_then(Iterator::next) {
                        Some(progress) => self.batch_ended(&key, progress).await,
                        None => self.settled(&key, usize::MAX, AckKind::Nak(None)).await,
                    }
                }
            }
            Ok(Ended::Single(key, outcome)) => match outcome {
                Outcome::Settled => {
                    self.settler.metrics.settled.inc();
                    self.settled(&key, 1, AckKind::Ack).await;
                }
                Outcome::Later(pause) => self.settled(&key, 1, AckKind::Nak(Some(pause))).await,
                Outcome::Abandoned => self.settled(&key, 1, AckKind::Nak(None)).await,
                Outcome::Again(predecessors) => {
                    self.queues.precede(&key, predecessors);
                    self.queues.release(&key);
                }
            },
            Ok(Ended::Reread(range, read)) => {
                if let Some((facts, left)) = read {
                    self.queues.reread(facts);
                    self.rereading.read(range, left);
                }
            }
            // Panics of handlers are caught, so this is a defect of this crate; the keys would stop
            // for ever.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn batch_ended(&mut self, key: &str, progress: Progress) {
        self.settler.metrics.settled.inc_by(progress.settled as u64);
        for delivery in self.queues.settled(key, progress.settled) {
            acknowledge(&delivery, AckKind::Ack).await;
            crash::point("events.consumer.acknowledged");
        }
        let single = match progress.next {
            Next::End => None,
            Next::Gap { .. } | Next::Failed(_) | Next::Alone => self.queues.single(key),
        };
        let Some((fact, deliveries)) = single else {
            self.queues.release(key);
            return;
        };
        let settler = self.settler.clone();
        self.tasks.spawn(async move {
            let outcome = match progress.next {
                Next::Gap { after, sequence } => {
                    settler.fill_gap(&fact, deliveries, after, sequence).await
                }
                Next::Failed(error) => settler.retry(&fact, Some(error)).await,
                Next::Alone | Next::End => settler.retry(&fact, None).await,
            };
            Ended::Single(fact.key.clone(), outcome)
        });
    }

    /// Acknowledges the first `count` messages of `key` in work, and ends the work on it.
    async fn settled(&mut self, key: &str, count: usize, kind: AckKind) {
        for delivery in self.queues.settled(key, count) {
            acknowledge(&delivery, kind).await;
        }
        self.queues.release(key);
    }

    /// Signals progress of every message to the server.
    async fn sign(&self) {
        for delivery in self.queues.all() {
            acknowledge(delivery, AckKind::Progress).await;
        }
    }

    /// Waits for running handlers and returns all other messages, for another instance to process
    /// at once. A NAK without a delay is right only here: it is sent once, and deliveries are not
    /// limited.
    async fn drain(&mut self, bus: &Bus) {
        self.give_back().await;
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended).await;
        }
        self.give_back().await;
        if let Err(error) = bus.client.flush().await {
            tracing::debug!(%error, "acknowledgements not flushed");
        }
    }

    async fn give_back(&mut self) {
        for delivery in self.queues.drain() {
            acknowledge(&delivery, AckKind::Nak(None)).await;
        }
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn read(message: &jetstream::Message) -> Option<(Fact, u32)> {
    let info = message.info().ok()?;
    let fact = Fact::read(
        &message.subject,
        info.stream_sequence,
        message.headers.as_ref()?,
        message.payload.clone(),
    )?;
    Some((fact, u32::try_from(info.delivered).unwrap_or(u32::MAX)))
}

/// Acknowledges a message that the server has delivered.
async fn acknowledge(delivery: &Delivery, kind: AckKind) {
    if let Some(acker) = &delivery.acker {
        send(acker, kind).await;
    }
}

/// Sends an acknowledgement. A lost one causes a repeat, which the inbox recognises.
async fn send(acker: &Acker, kind: AckKind) {
    if let Err(error) = acker.ack_with(kind).await {
        tracing::debug!(%error, "acknowledgement not sent");
    }
}
