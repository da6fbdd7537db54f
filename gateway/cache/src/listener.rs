//! Hears of events by NATS, after which kept answers are out of date.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr};
use futures::StreamExt;
use percent_encoding::percent_decode_str;
use rpc::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;

/// The subjects of all facts. Streams of JetStream hold them too, but this subscription hears each
/// at once, and a gap in it is known by the lost connection.
const FACTS: &str = "evt.>";

/// Full name of the message of a fact, and its key (CloudEvents, as the mesh publishes them).
const TYPE: &str = "ce-type";
const SUBJECT: &str = "ce-subject";

/// Longest wait for the server's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pauses between attempts to connect.
const ATTEMPTS: Backoff =
    Backoff::equal_jitter(Duration::from_millis(20), Duration::from_millis(1000));

/// Tells a cache of all events of a NATS server until `shutdown`, and when it hears none. The
/// connection's user may subscribe to `evt.>` and `_INBOX.>`.
pub async fn listen(cache: Cache, url: String, shutdown: CancellationToken) {
    let hearing = async {
        let mut failures = 0;
        loop {
            match hear(&cache, &url).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(%error, "events that make kept answers out of date are not heard");
                    }
                    failures += 1;
                }
            }
            cache.hear(false);
            sleep(ATTEMPTS.pause(failures)).await;
        }
    };
    shutdown.run_until_cancelled(hearing).await;
}

/// Hears of events until the connection is lost.
async fn hear(cache: &Cache, url: &str) -> Result<(), async_nats::Error> {
    let lost = Arc::new(Notify::new());
    let client = timeout(PATIENCE, connect(url, lost.clone())).await??;
    let mut facts = client.subscribe(FACTS).await?;
    // The server has the subscription once it has answered what came after it.
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Default::default()).await?;
    timeout(PATIENCE, echo.next()).await?;
    cache.hear(true);
    tracing::info!("events that make kept answers out of date are heard");
    loop {
        tokio::select! {
            fact = facts.next() => match fact {
                Some(fact) => happened(cache, &fact),
                None => return Ok(()),
            },
            () = lost.notified() => return Ok(()),
        }
    }
}

/// Connects; `lost` is notified of whatever may cost an event.
async fn connect(url: &str, lost: Arc<Notify>) -> Result<Client, async_nats::Error> {
    let options = ConnectOptions::new()
        .name("protomesh-cache")
        .event_callback(move |event| {
            if matches!(
                event,
                Event::Disconnected | Event::Closed | Event::SlowConsumer(_)
            ) {
                lost.notify_one();
            }
            async {}
        });
    let address: ServerAddr = url.parse()?;
    // The client itself ignores them.
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => options.user_and_password(user.into(), password.into()),
        _ => options,
    };
    Ok(options.connect(address).await?)
}

fn happened(cache: &Cache, fact: &Message) {
    let header = |name: &str| {
        let value = fact.headers.as_ref()?.get(name)?;
        Some(value.as_str().to_owned())
    };
    if let (Some(kind), Some(key)) = (header(TYPE), header(SUBJECT)) {
        let key = percent_decode_str(&key).decode_utf8_lossy();
        cache.happened(&kind, &key);
    }
}
