//! One HTTP/2 connection to an endpoint, driven and kept alive by its tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::poll_fn;
use futures::task::noop_waker_ref;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, Reason};
use rpc::coalesce;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::endpoint::legal::LegalFields;
use crate::endpoint::resets::Resets;
use crate::settings::ClientSettings;
use crate::settings::address::Address;
use crate::tls::Tls;

/// Largest header list of a response, in bytes: error details travel in trailers.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Streams reset within [`RESET_MEMORY`] whose late frames are still recognized.
const RESETS_REMEMBERED: usize = 1024;
const RESET_MEMORY: Duration = Duration::from_secs(5);

/// Probes of TCP, which the kernel answers, notice a host that has vanished: after this time
/// without traffic, this often, and so many without an answer. Servers don't count them as they
/// count pings.
const PROBE_AFTER: Duration = Duration::from_secs(20);
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBES: u32 = 2;

/// How long what was sent may stay without acknowledgement (gRFC A18).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// Times that the interval of pings is doubled at most: beyond, no connection lives long enough.
const DOUBLINGS_MAX: u32 = 16;

/// An HTTP/2 connection, on which streams are opened while it is open and not full.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// Streams in use. Beyond the peer's limit, h2 would queue them without bound.
    streams: Arc<AtomicUsize>,
    /// Beyond it, responses that nobody reads could fill the window of the connection and block
    /// all others.
    streams_max: usize,
    closed: Arc<AtomicBool>,
    is_loss_noted: AtomicBool,
    pub(crate) resets: Arc<Resets>,
}

/// The interval of pings to one endpoint.
#[derive(Clone, Default)]
pub(crate) struct PingPace {
    doublings: Arc<AtomicU32>,
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
    pub(crate) async fn open(
        target: &Target,
        settings: &ClientSettings,
        pace: &PingPace,
    ) -> Result<Self, String> {
        let opening = async {
            let stream = TcpStream::connect(target.socket).await;
            let stream = stream.map_err(|error| error.to_string())?;
            prepare(&stream).map_err(|error| error.to_string())?;
            match &target.tls {
                Some(tls) => {
                    let stream = tls.connect(&target.address.host, stream).await?;
                    handshake(stream, settings, pace).await
                }
                None => handshake(stream, settings, pace).await,
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
        let most = most.min(self.streams_max);
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

    /// Returns whether the loss of this connection is new: it counts once, however many calls were
    /// on it, and not for each.
    pub(crate) fn note_loss(&self) -> bool {
        !self.is_loss_noted.swap(true, Ordering::AcqRel)
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

/// Sets the options of a socket.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    // Without it, small frames wait for the peer's acknowledgements.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

async fn handshake<T>(
    stream: T,
    settings: &ClientSettings,
    pace: &PingPace,
) -> Result<Connection, String>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, flusher) = coalesce::buffer(LegalFields::new(stream));
    let shaken = client::Builder::new()
        .initial_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .reset_stream_duration(RESET_MEMORY)
        // By default a connection ends with its 1,024th malformed response, and all calls with it.
        .max_local_error_reset_streams(None)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await;
    let (sender, mut connection) = shaken.map_err(|error| format!("HTTP/2: {error}"))?;
    let pings = connection.ping_pong();
    let closed = Arc::new(AtomicBool::new(false));
    let (closing, driven) = (closed.clone(), pace.clone());
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = flusher.drive(connection).await {
            tracing::debug!(%error, "upstream connection ended");
            if error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                driven.slow_down();
            }
        }
        closing.store(true, Ordering::Release);
    }));
    let mut pings = pings.ok_or("HTTP/2: no pings")?;
    // Before its first answer, the peer's stream limit is unknown, and whether it speaks HTTP/2.
    let answered = pings.ping(Ping::opaque()).await;
    answered.map_err(|error| format!("HTTP/2: {error}"))?;
    let interval = pace.interval(settings);
    let limit = Duration::from_millis(settings.ping_timeout_ms);
    let (driver, unanswered) = (driver.detach(), closed.clone());
    let streams = Arc::new(AtomicUsize::new(0));
    let used = streams.clone();
    // A separate task: the driver would poll the timer each time it is woken.
    tokio::spawn(async move {
        if keep_alive(pings, &used, interval, limit).await.is_err() {
            tracing::warn!("upstream does not answer pings, connection dropped");
            unanswered.store(true, Ordering::Release);
            driver.abort();
        }
    });
    Ok(Connection {
        sender,
        streams,
        streams_max: settings.streams_max(),
        closed,
        is_loss_noted: AtomicBool::new(false),
        resets: Arc::default(),
    })
}

// === impl PingPace ===

impl PingPace {
    fn interval(&self, settings: &ClientSettings) -> Duration {
        let doublings = self.doublings.load(Ordering::Relaxed).min(DOUBLINGS_MAX);
        Duration::from_millis(settings.ping_interval_ms) * (1 << doublings)
    }

    /// Doubles the interval of further connections: the peer has closed one with ENHANCE_YOUR_CALM
    /// ("too_many_pings", gRFC A8).
    fn slow_down(&self) {
        self.doublings.fetch_add(1, Ordering::Relaxed);
    }
}

struct PingTimeout;

/// Pings while there are calls, so that a peer that hangs is noticed. Without calls, servers close
/// a connection for pings (gRFC A8); a host that has vanished is noticed by TCP.
async fn keep_alive(
    mut pings: PingPong,
    streams: &AtomicUsize,
    interval: Duration,
    limit: Duration,
) -> Result<(), PingTimeout> {
    loop {
        // Polled during the pause too, so that this task ends with its connection.
        tokio::select! {
            () = sleep(interval) => {}
            _ = poll_fn(|context| pings.poll_pong(context)) => return Ok(()),
        }
        if streams.load(Ordering::Acquire) == 0 {
            continue;
        }
        match timeout(limit, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(PingTimeout),
        }
    }
}

#[cfg(test)]
mod tests;
