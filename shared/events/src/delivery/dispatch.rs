//! Pulls messages, runs those of one key in order and different keys concurrently, and
//! acknowledges.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::{AckKind, Acker};
use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, RECONNECT, stream};
use crate::consumer::Consumer;
use crate::envelope::Fact;
use crate::error::Error;

use super::declare;
use super::settle::{Outcome, Settler};

/// Progress signals per `ack_wait`: two may get lost before the server delivers a message again.
const SIGNS_PER_ACK_WAIT: u32 = 3;

/// Interval in which a consumer records how much of the stream it has seen.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

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

/// One delivered message that is not yet acknowledged.
struct Delivery {
    fact: Fact,
    acker: Acker,
    deliveries: u32,
}

/// The messages of one key: one is settled by a task, the others wait in version order.
struct Queue {
    running: Arc<Delivery>,
    waiting: BTreeMap<(i64, u64), Delivery>,
}

/// Holds the messages in progress: at most `max_ack_pending`.
struct Dispatcher {
    settler: Arc<Settler>,
    stop: CancellationToken,
    queues: HashMap<String, Queue>,
    tasks: JoinSet<(String, Outcome)>,
    signs: Interval,
    looks: Interval,
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
        let settler = Settler {
            consumer,
            pool: bus.pool.clone(),
            stream,
            settings: bus.settings.clone(),
            permits: Semaphore::new(bus.settings.consumer_workers),
            shutdown: stop.clone(),
        };
        Ok(Self {
            settler: Arc::new(settler),
            stop,
            queues: HashMap::new(),
            tasks: JoinSet::new(),
            signs,
            looks,
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
                Ok(messages) => {
                    failures = 0;
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
    async fn pull(&mut self, mut messages: pull::Stream) -> Option<Error> {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                Some(ended) = self.tasks.join_next() => self.ended(ended).await,
                _ = self.signs.tick() => self.sign().await,
                _ = self.looks.tick() => self.settler.look().await,
                message = messages.next() => match message {
                    Some(Ok(message)) => self.accept(message).await,
                    // The client library pulls again only after the old pull expires, so a missed
                    // heartbeat too ends this pull.
                    Some(Err(error)) => return Some(Error::jetstream("pulling", error)),
                    None => return Some(Error::jetstream("pulling", "the pull ended")),
                },
            }
        }
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
            acknowledge(&message.split().1, AckKind::Term).await;
            return;
        };
        let delivery = Delivery {
            fact,
            acker: message.split().1,
            deliveries,
        };
        let position = (delivery.fact.version, delivery.fact.sequence);
        match self.queues.get_mut(&delivery.fact.key) {
            Some(queue) => {
                queue.waiting.insert(position, delivery);
            }
            None => self.start(delivery, BTreeMap::new()),
        }
    }

    fn start(&mut self, delivery: Delivery, waiting: BTreeMap<(i64, u64), Delivery>) {
        let key = delivery.fact.key.clone();
        let running = Arc::new(delivery);
        let (settler, task) = (self.settler.clone(), running.clone());
        self.tasks.spawn(async move {
            let outcome = settler.settle(&task.fact, task.deliveries).await;
            (task.fact.key.clone(), outcome)
        });
        self.queues.insert(key, Queue { running, waiting });
    }

    /// Acknowledges what a task has settled and starts the next message of its key.
    async fn ended(&mut self, ended: Result<(String, Outcome), JoinError>) {
        let (key, outcome) = match ended {
            Ok(ended) => ended,
            // Panics of handlers are caught, so this is a defect of this crate; the key would stop
            // for ever.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Some(mut queue) = self.queues.remove(&key) else {
            return;
        };
        let kind = match outcome {
            Outcome::Settled => AckKind::Ack,
            Outcome::Later(pause) => AckKind::Nak(Some(pause)),
            Outcome::Abandoned => AckKind::Nak(None),
        };
        acknowledge(&queue.running.acker, kind).await;
        if let Some((_, next)) = queue.waiting.pop_first() {
            self.start(next, queue.waiting);
        }
    }

    /// Signals progress of every message to the server.
    async fn sign(&self) {
        for queue in self.queues.values() {
            acknowledge(&queue.running.acker, AckKind::Progress).await;
            for delivery in queue.waiting.values() {
                acknowledge(&delivery.acker, AckKind::Progress).await;
            }
        }
    }

    /// Waits for running handlers and returns all other messages, for another instance to process
    /// at once. A NAK without a delay is right only here: it is sent once, and deliveries are not
    /// limited.
    async fn drain(&mut self, bus: &Bus) {
        for queue in self.queues.values_mut() {
            for delivery in std::mem::take(&mut queue.waiting).into_values() {
                acknowledge(&delivery.acker, AckKind::Nak(None)).await;
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended).await;
        }
        if let Err(error) = bus.client.flush().await {
            tracing::debug!(%error, "acknowledgements not flushed");
        }
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

/// Sends an acknowledgement. A lost one causes a repeat, which the inbox recognises.
async fn acknowledge(acker: &Acker, kind: AckKind) {
    if let Err(error) = acker.ack_with(kind).await {
        tracing::debug!(%error, "acknowledgement not sent");
    }
}
