//! Follows the facts of all contexts as they are published: their headers, never their payloads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::{self, Context, Message};
use async_nats::{Client, ConnectOptions, ServerAddr};
use futures::stream::SelectAll;
use futures::{StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::sync::OnceCell;

/// Prefix of the streams of facts.
const STREAMS: &str = "EVT_";
/// Facts of each stream that a page begins with.
const BEGIN: u64 = 40;
/// Most streams that are followed.
const MAX_STREAMS: usize = 64;
/// Most facts that are passed on in one interval; further ones are counted.
const MAX_PER_INTERVAL: usize = 40;
/// Interval in which facts are passed on.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);
/// Interval in which new streams are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A published fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SeenFact {
    /// When its transaction began, RFC 3339.
    at: String,
    context: String,
    /// Kind of aggregate.
    aggregate: String,
    key: String,
    /// Full message name.
    r#type: String,
    version: String,
    subject: String,
    /// The trace that published it; empty without one.
    trace: String,
}

/// New facts, and the number of those that were left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NewFacts {
    pub(crate) facts: Vec<SeenFact>,
    pub(crate) skipped: u64,
}

/// The broker, connected when somebody first looks.
#[derive(Debug)]
pub(crate) struct Broker {
    url: Option<String>,
    client: OnceCell<Client>,
}

/// The facts of all streams for one page.
pub(crate) struct Feed {
    jetstream: Context,
    followed: BTreeSet<String>,
    messages: SelectAll<Ordered>,
    looked: tokio::time::Instant,
}

/// Reason why facts can't be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error("this mesh has no broker; start it with a service that needs one")]
    NoBroker,
    #[error("the broker does not answer: {0}")]
    Unavailable(String),
}

// === impl Broker ===

impl Broker {
    /// Describes a broker by its URL with user and password.
    pub(crate) fn new(url: Option<String>) -> Self {
        Self {
            url,
            client: OnceCell::new(),
        }
    }

    /// Begins to follow all streams.
    pub(crate) async fn feed(&self) -> Result<Feed, FeedError> {
        let url = self.url.as_deref().ok_or(FeedError::NoBroker)?;
        let connect = || options(url).name("dashboard").connect(url);
        let connected = self.client.get_or_try_init(connect);
        let connected = tokio::time::timeout(TIMEOUT, connected).await;
        let client = connected.map_err(unavailable)?.map_err(unavailable)?;
        let mut feed = Feed {
            jetstream: jetstream::new(client.clone()),
            followed: BTreeSet::new(),
            messages: SelectAll::new(),
            looked: tokio::time::Instant::now(),
        };
        let looked = tokio::time::timeout(TIMEOUT, feed.look()).await;
        looked.map_err(unavailable)??;
        Ok(feed)
    }
}

// === impl Feed ===

impl Feed {
    /// Waits for facts, and returns those of one interval.
    pub(crate) async fn next(&mut self) -> Result<NewFacts, FeedError> {
        let mut found = NewFacts::default();
        let mut held: BTreeMap<String, Vec<SeenFact>> = BTreeMap::new();
        let end = tokio::time::Instant::now() + INTERVAL;
        loop {
            if self.looked.elapsed() > LOOK {
                self.looked = tokio::time::Instant::now();
                let looked = tokio::time::timeout(TIMEOUT, self.look()).await;
                looked.map_err(unavailable)??;
            }
            let message = tokio::select! {
                message = self.messages.next(), if !self.messages.is_empty() => message,
                () = tokio::time::sleep_until(end) => break,
            };
            let message = match message {
                Some(message) => message.map_err(unavailable)?,
                None => continue,
            };
            let fact = seen(&message);
            let of_context = held.entry(fact.context.clone()).or_default();
            match of_context.len() < MAX_PER_INTERVAL {
                true => of_context.push(fact),
                false => found.skipped += 1,
            }
        }
        found.facts = held.into_values().flatten().collect();
        found.facts.sort_by(|one, other| one.at.cmp(&other.at));
        Ok(found)
    }

    /// Follows streams that are not followed yet, each from shortly before its end.
    async fn look(&mut self) -> Result<(), FeedError> {
        let mut names = self.jetstream.stream_names();
        while let Some(name) = names.try_next().await.map_err(unavailable)? {
            let is_new = name.starts_with(STREAMS) && !self.followed.contains(&name);
            if !is_new || self.followed.len() >= MAX_STREAMS {
                continue;
            }
            let stream = self.jetstream.get_stream(&name).await;
            let stream = stream.map_err(unavailable)?;
            let last = stream.cached_info().state.last_sequence;
            let start_sequence = last.saturating_sub(BEGIN) + 1;
            let config = OrderedConfig {
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
                // The broker does not even send payloads.
                headers_only: true,
                ..OrderedConfig::default()
            };
            let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
            self.messages
                .push(consumer.messages().await.map_err(unavailable)?);
            self.followed.insert(name);
        }
        Ok(())
    }
}

/// Returns options with the user and the password of a URL.
fn options(url: &str) -> ConnectOptions {
    let address: Result<ServerAddr, _> = url.parse();
    let Ok(address) = address else {
        return ConnectOptions::new();
    };
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        _ => ConnectOptions::new(),
    }
}

fn unavailable(error: impl std::fmt::Display) -> FeedError {
    FeedError::Unavailable(error.to_string())
}

fn seen(message: &Message) -> SeenFact {
    let header = |name: &str| {
        let headers = message.headers.as_ref();
        let value = headers.and_then(|headers| headers.get(name));
        value.map_or_else(String::new, |value| value.as_str().to_owned())
    };
    let subject = message.subject.as_str();
    // evt.CONTEXT.AGGREGATE.LANE.KEY
    let mut tokens = subject.split('.').skip(1).map(str::to_owned);
    let traceparent = header("traceparent");
    let key = header("ce-subject");
    SeenFact {
        at: header("ce-time"),
        context: tokens.next().unwrap_or_default(),
        aggregate: tokens.next().unwrap_or_default(),
        key: percent_decode_str(&key).decode_utf8_lossy().into_owned(),
        r#type: header("ce-type"),
        version: header("Mesh-Version"),
        subject: subject.to_owned(),
        trace: traceparent.split('-').nth(1).unwrap_or_default().to_owned(),
    }
}
