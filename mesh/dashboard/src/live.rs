//! Server-sent events: the processes whenever one changes, and logs or facts as they come.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::facts::{Broker, FeedError};
use crate::logs::{LogFilter, NewLines, Tail};
use crate::processes::ProcessRow;
use crate::respond::{PageBody, response};

/// Name of the log of the supervisor, which it has in the background.
const SUPERVISOR: &str = "mesh";
/// Interval in which logs are read.
const LOG_INTERVAL: Duration = Duration::from_millis(300);
/// Interval of comments, which find readers that are gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Pause before a broker is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// Events that wait for a slow reader; sources wait for it then.
const WAITING: usize = 16;

/// The sources of events.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) processes: watch::Receiver<Vec<ProcessRow>>,
    pub(crate) logs: PathBuf,
    pub(crate) broker: Broker,
}

/// The events that a page wants beside the processes.
#[derive(Debug)]
pub(crate) enum Topic {
    Processes,
    Logs(LogFilter),
    Facts,
}

/// The sender of one stream of events; an error means that its reader is gone.
struct Events(mpsc::Sender<Bytes>);

/// The reader is gone.
struct Gone;

/// Opens a stream of events, which ends when its reader goes or `slot` is needed no more.
pub(crate) fn stream(
    sources: Arc<Sources>,
    topic: Topic,
    slot: OwnedSemaphorePermit,
) -> Response<PageBody> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let events = Events(sender);
    tokio::spawn(async move {
        let _slot = slot;
        let processes = sources.processes.clone();
        let topic = async {
            match topic {
                Topic::Processes => std::future::pending().await,
                Topic::Logs(filter) => logs(&sources, filter, &events).await,
                Topic::Facts => facts(&sources.broker, &events).await,
            }
        };
        // Each ends when the reader is gone.
        tokio::select! {
            _ = send_processes(processes, &events) => {}
            _ = topic => {}
            () = events.0.closed() => {}
        }
    });
    let frames = ReceiverStream::new(receiver).map(|event| Ok(Frame::data(event)));
    let body = StreamBody::new(frames).boxed_unsync();
    response(StatusCode::OK, "text/event-stream", body)
}

// === impl Events ===

impl Events {
    async fn send(&self, name: &str, value: &impl Serialize) -> Result<(), Gone> {
        let json = serde_json::to_string(value).map_err(|_| Gone)?;
        let event = format!("event: {name}\ndata: {json}\n\n");
        self.0.send(event.into()).await.map_err(|_| Gone)
    }
}

async fn send_processes(
    mut processes: watch::Receiver<Vec<ProcessRow>>,
    events: &Events,
) -> Result<(), Gone> {
    loop {
        let rows = processes.borrow_and_update().clone();
        events.send("processes", &rows).await?;
        loop {
            tokio::select! {
                changed = processes.changed() => {
                    changed.map_err(|_| Gone)?;
                    break;
                }
                () = sleep(KEEP_ALIVE) => {
                    let comment = Bytes::from_static(b":\n\n");
                    events.0.send(comment).await.map_err(|_| Gone)?;
                }
            }
        }
    }
}

async fn logs(sources: &Sources, filter: LogFilter, events: &Events) -> Result<(), Gone> {
    let rows = sources.processes.borrow().clone();
    let names = rows.into_iter().map(|row| row.name);
    let names: Vec<String> = names.chain([SUPERVISOR.to_owned()]).collect();
    let mut tail = Tail::new(&sources.logs, &names, filter);
    let mut read: fn(&mut Tail) -> NewLines = Tail::begin;
    loop {
        let round = move || {
            let found = read(&mut tail);
            (tail, found)
        };
        // Files block.
        let (back, found) = tokio::task::spawn_blocking(round).await.map_err(|_| Gone)?;
        (tail, read) = (back, Tail::follow);
        if found != NewLines::default() {
            events.send("logs", &found).await?;
        }
        sleep(LOG_INTERVAL).await;
    }
}

async fn facts(broker: &Broker, events: &Events) -> Result<(), Gone> {
    loop {
        let Err(failure) = follow(broker, events).await else {
            return Err(Gone);
        };
        events
            .send("trouble", &json!({"message": failure.to_string()}))
            .await?;
        sleep(RETRY).await;
    }
}

/// Passes facts on until the broker fails, or returns when the reader is gone.
async fn follow(broker: &Broker, events: &Events) -> Result<(), FeedError> {
    let mut feed = broker.feed().await?;
    if events.send("following", &json!({})).await.is_err() {
        return Ok(());
    }
    loop {
        let found = feed.next().await?;
        if (!found.facts.is_empty() || found.skipped > 0)
            && events.send("facts", &found).await.is_err()
        {
            return Ok(());
        }
    }
}
