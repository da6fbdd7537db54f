//! Readers of facts outside of the mesh: each has a user of the broker, and a durable consumer of
//! the same name on the stream of every context that it was granted.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::{self, consumer::Consumer};
use serde::Serialize;

use super::nats::{self, OPERATOR};
use super::secrets::Secrets;

/// Time that a reader has for one fact, before it gets it again.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// The access of a reader to the facts of one context.
#[derive(Debug, Serialize)]
pub struct Reader {
    /// Address of the broker with user and password. Inboxes begin with `_INBOX_` and the user.
    pub url: String,
    /// The stream of the context.
    pub stream: String,
    /// The durable pull consumer.
    pub consumer: String,
}

/// Makes the durable consumer of a reader, or finds it as it is.
pub(crate) async fn grant(
    address: SocketAddr,
    passwords: &Secrets,
    reader: &str,
    context: &str,
) -> Result<Reader> {
    let url = nats::url(address, passwords, reader).with_context(|| {
        format!("the mesh has no reader {reader}; start it with `up --reader {reader}`")
    })?;
    let password = passwords.of(OPERATOR)?.to_owned();
    let options = ConnectOptions::with_user_and_password(OPERATOR.to_owned(), password);
    let broker = options.connect(address.to_string()).await;
    let jetstream = jetstream::new(broker.context("cannot connect to NATS")?);
    let stream = events::stream_name(context);
    let found = jetstream.get_stream(&stream).await;
    let found = found.with_context(|| {
        format!(
            "cannot find the stream {stream}: is {context} a context, and did it publish a fact?"
        )
    })?;
    let config = Config {
        durable_name: Some(reader.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // One fact after another: one that failed comes again before any other of its key.
        max_ack_pending: 1,
        ..Config::default()
    };
    let _: Consumer<Config> = found
        .create_consumer(config)
        .await
        .with_context(|| format!("cannot make the consumer {reader} of {stream}"))?;
    Ok(Reader {
        url,
        stream,
        consumer: reader.to_owned(),
    })
}
