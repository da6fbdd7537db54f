//! One HTTP/2 connection to an endpoint, driven and kept alive by its tasks.

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
use rpc::coalesce;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::settings::ClientSettings;
use crate::settings::address::Address;
use crate::tls::Tls;

/// Largest header list of a response, in bytes: error details travel in trailers.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Streams reset within [`RESET_MEMORY`] whose late frames are still recognized.
const RESETS_REMEMBERED: usize = 1024;
const RESET_MEMORY: Duration = Duration::from_secs(5);

/// An HTTP/2 connection, on which streams are opened while it is open and not full.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// Streams in use. Beyond the peer's limit, h2 would queue them without bound.
    streams: AtomicUsize,
    closed: Arc<AtomicBool>,
}

/// An endpoint's address and TLS.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) socket: SocketAddr,
    pub(crate) tls: Option<Tls>,
}

impl Connection {
    /// Connects, TLS included; the error is text for the log.
    pub(crate) async fn open(target: &Target, settings: &ClientSettings) -> Result<Self, String> {
        let opening = async {
            let stream = TcpStream::connect(target.socket).await;
            let stream = stream.map_err(|error| error.to_string())?;
            // Without it, small frames wait for the peer's acknowledgements.
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

    /// Reserves a stream; returns whether the connection had one left.
    pub(crate) fn reserve(&self) -> bool {
        let most = self.sender.current_max_send_streams();
        let reserved = self
            .streams
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |streams| {
                (streams < most).then_some(streams + 1)
            });
        reserved.is_ok()
    }

    /// Releases a reserved stream.
    pub(crate) fn release(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether streams can be opened, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Returns a handle that opens a stream; `None` once the connection is closing.
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
            tracing::debug!(%error, "upstream connection ended");
        }
        closing.store(true, Ordering::Release);
    }));
    let mut pings = pings.ok_or("HTTP/2: no pings")?;
    // Before its first answer, the peer's stream limit is unknown, and whether it speaks HTTP/2.
    let answered = pings.ping(Ping::opaque()).await;
    answered.map_err(|error| format!("HTTP/2: {error}"))?;
    let interval = Duration::from_millis(settings.ping_interval_ms);
    let limit = Duration::from_millis(settings.ping_timeout_ms);
    let (driver, unanswered) = (driver.detach(), closed.clone());
    // A separate task: the driver would poll the timer each time it is woken.
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

struct PingTimeout;

/// Pings while the connection lives, so that a vanished peer is noticed before the next call.
async fn keep_alive(
    mut pings: PingPong,
    interval: Duration,
    limit: Duration,
) -> Result<(), PingTimeout> {
    loop {
        // Polled during the pause too, so that this task ends with its connection.
        tokio::select! {
            () = sleep(interval) => {}
            _ = poll_fn(|context| pings.poll_pong(context)) => return Ok(()),
        }
        match timeout(limit, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(PingTimeout),
        }
    }
}
