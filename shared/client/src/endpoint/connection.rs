//! One HTTP/2 connection to an endpoint, driven and kept alive by tasks of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::poll_fn;
use futures::task::noop_waker_ref;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::settings::ClientSettings;
use crate::settings::address::Address;
use crate::tls::Tls;
use rpc::coalesce;

/// Largest header list of a response, in bytes: error details travel in trailers.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Resets that we send within [`RESET_MEMORY`] and whose late frames are still recognized.
const RESETS_REMEMBERED: usize = 1024;
const RESET_MEMORY: Duration = Duration::from_secs(5);

/// Streams are opened on it as long as it is open and has room.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// Streams of ours, which h2 itself would queue without bound above the peer's limit.
    streams: AtomicUsize,
    closed: Arc<AtomicBool>,
}

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) socket: SocketAddr,
    pub(crate) tls: Option<Tls>,
}

impl Connection {
    /// Connects, TLS included; says in words why it could not.
    pub(crate) async fn open(target: &Target, settings: &ClientSettings) -> Result<Self, String> {
        let opening = async {
            let stream = TcpStream::connect(target.socket).await;
            let stream = stream.map_err(|error| error.to_string())?;
            // Without it, small frames would wait for the peer's acknowledgements.
            stream
                .set_nodelay(true)
                .map_err(|error| error.to_string())?;
            match &target.tls {
                Some(tls) => {
                    let stream = tls.connect(&target.address.host, stream).await?;
                    handshake(stream, settings).await
                }
                None => handshake(stream, settings).await,
            }
        };
        match timeout(settings.connect_timeout(), opening).await {
            Ok(opened) => opened,
            Err(_) => Err(format!(
                "no connection within {} ms",
                settings.connect_timeout_ms
            )),
        }
    }

    /// Counts a stream, if there is room for one.
    pub(crate) fn reserve(&self) -> bool {
        let most = self.sender.current_max_send_streams();
        let reserved = self
            .streams
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |streams| {
                (streams < most).then_some(streams + 1)
            });
        reserved.is_ok()
    }

    /// Gives a counted stream back.
    pub(crate) fn release(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether streams can still be opened, as far as was noticed.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// What opens a stream; `None` once the connection takes no more, though those that are open may go on.
    pub(crate) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        let mut context = Context::from_waker(noop_waker_ref());
        if let Poll::Ready(Err(_)) = sender.poll_ready(&mut context) {
            self.closed.store(true, Ordering::Release);
            return None;
        }
        Some(sender)
    }
}

async fn handshake<T>(stream: T, settings: &ClientSettings) -> Result<Connection, String>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, flusher) = coalesce::buffer(stream);
    let shaken = client::Builder::new()
        .initial_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .reset_stream_duration(RESET_MEMORY)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await;
    let (sender, mut connection) = shaken.map_err(|error| format!("HTTP/2: {error}"))?;
    let pings = connection.ping_pong();
    let closed = Arc::new(AtomicBool::new(false));
    let closing = closed.clone();
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = flusher.drive(connection).await {
            tracing::debug!(%error, "connection to upstream ended");
        }
        closing.store(true, Ordering::Release);
    }));
    let mut pings = pings.ok_or("HTTP/2: no pings")?;
    // Before its first answer a peer has not said how many streams it takes, nor that it speaks HTTP/2 at all.
    let answered = pings.ping(Ping::opaque()).await;
    answered.map_err(|error| format!("HTTP/2: {error}"))?;
    let interval = Duration::from_millis(settings.ping_interval_ms);
    let limit = Duration::from_millis(settings.ping_timeout_ms);
    let (driver, unanswered) = (driver.detach(), closed.clone());
    // Apart from the driver, which would otherwise look at a timer each time it is woken.
    tokio::spawn(async move {
        if keep_alive(pings, interval, limit).await.is_err() {
            tracing::warn!("upstream does not answer pings, connection dropped");
            unanswered.store(true, Ordering::Release);
            driver.abort();
        }
    });
    Ok(Connection {
        sender,
        streams: AtomicUsize::new(0),
        closed,
    })
}

struct Unanswered;

/// Pings for as long as the connection lives. The next call should not be the one that finds out that the peer vanished.
async fn keep_alive(
    mut pings: PingPong,
    interval: Duration,
    limit: Duration,
) -> Result<(), Unanswered> {
    loop {
        // Watched during the pause too, so that this task ends with its connection.
        tokio::select! {
            () = sleep(interval) => {}
            _ = poll_fn(|context| pings.poll_pong(context)) => return Ok(()),
        }
        match timeout(limit, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(Unanswered),
        }
    }
}
