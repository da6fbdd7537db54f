//! One connection: handshake, version of HTTP, requests, graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc::coalesce::{self, Driver, WriteBuffer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::StdError;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::activity::{Activity, Expiry, Limits};
use super::response::ResponseBody;
use super::socket::{Http, Socket};
use super::turns::{Executor, Turns};
use crate::handler::Handler;
use crate::peer::Peer;
use crate::settings::{HTTP2, ListenerSettings};
use crate::tls::{Session, Tls};

/// Interval of pings on an idle HTTP/2 connection: finds vanished peers, and is above the 10 s that
/// clients allow.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Limit of an unanswered ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is to end may be without requests: those on their way arrive in that
/// time.
const QUIET: Duration = Duration::from_secs(1);

/// The shared parts of all connections of a listener.
pub(crate) struct Connections {
    handler: Handler,
    tls: Option<Arc<Tls>>,
    settings: ListenerSettings,
    /// Tells connections to finish running requests and close.
    draining: CancellationToken,
    /// Closes connections that have not ended in time.
    pub(crate) closing: CancellationToken,
    http1: http1::Builder,
}

/// A connection after its handshake.
enum Transport {
    Plain(Socket, Http),
    Secure(Box<TlsStream<Socket>>),
}

/// A connection that can finish its running requests and close.
trait GracefulConnection: Future<Output = hyper::Result<()>> + Unpin {
    fn finish(&mut self);
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(
        handler: Handler,
        tls: Option<Arc<Tls>>,
        settings: &ListenerSettings,
        draining: CancellationToken,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // Replaced by timers that also know idle and upgraded connections.
            .header_read_timeout(None)
            .max_headers(settings.max_headers)
            .max_header_size(settings.max_header_bytes as usize)
            .max_buf_size(settings.max_header_bytes as usize);
        Self {
            handler,
            tls,
            settings: settings.clone(),
            draining,
            closing: CancellationToken::new(),
            http1,
        }
    }

    /// Serves a connection to its end, with its streams in the turns of its client.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: Socket,
        address: SocketAddr,
        turns: Arc<Turns>,
    ) {
        if let Err(error) = self.try_serve(socket, address, turns).await {
            // Peers vanish all the time: an operator can do nothing about it.
            tracing::debug!(error, peer = %address, "connection ended");
        }
    }

    async fn try_serve(
        &self,
        socket: Socket,
        address: SocketAddr,
        turns: Arc<Turns>,
    ) -> Result<(), StdError> {
        let tcp = TcpConnectInfo {
            local_addr: socket.local_address(),
            remote_addr: Some(address),
        };
        let activity = socket.activity();
        let opened = tokio::select! {
            opened = timeout(self.settings.idle_timeout(), self.open(socket)) => opened??,
            () = self.drained() => return Ok(()),
            () = activity.evicted() => return Ok(()),
        };
        match opened {
            Transport::Plain(socket, http) => {
                let peer = Peer { address, tls: None };
                self.requests(http, socket, activity, tcp, peer, turns)
                    .await?;
            }
            Transport::Secure(stream) => {
                let connection = stream.get_ref().1;
                let http = match connection.alpn_protocol() {
                    Some(HTTP2) => Http::Two,
                    // HTTP/2 over TLS is chosen by ALPN only (RFC 9113 §3.2).
                    _ => Http::One,
                };
                let session = Session::of(connection);
                let peer = Peer {
                    address,
                    tls: Some(Arc::new(session)),
                };
                self.requests(http, stream, activity, tcp, peer, turns)
                    .await?;
            }
        }
        Ok(())
    }

    async fn open(&self, mut socket: Socket) -> io::Result<Transport> {
        if let Some(tls) = &self.tls
            && (!tls.allows_plain() || socket.begins_tls().await?)
        {
            let handshake = Box::pin(tls.acceptor().accept(socket));
            let stream = timeout(tls.handshake_timeout(), handshake).await??;
            return Ok(Transport::Secure(Box::new(stream)));
        }
        let http = socket.http().await?;
        Ok(Transport::Plain(socket, http))
    }

    async fn requests<S>(
        &self,
        http: Http,
        stream: S,
        activity: Arc<Activity>,
        tcp: TcpConnectInfo,
        peer: Peer,
        turns: Arc<Turns>,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (handler, draining) = (self.handler.clone(), self.draining.clone());
        let counting = activity.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (activity, running) = (counting.clone(), counting.begin());
            let draining = draining.clone();
            let version = request.version();
            if request.method() == Method::CONNECT {
                request.extensions_mut().insert(counting.tunnel());
            }
            request.extensions_mut().insert(tcp.clone());
            request.extensions_mut().insert(peer.clone());
            let answered = handler.clone().oneshot(request);
            async move {
                let mut response = answered.await?;
                if draining.is_cancelled() && version < Version::HTTP_2 {
                    announce_close(&mut response);
                }
                let unread = response.extensions_mut().remove();
                Ok::<_, Infallible>(response.map(|body| activity.answer(body, running, unread)))
            }
        });
        // Boxed to keep this future small.
        match http {
            Http::One => {
                let connection = self
                    .http1
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                self.drive(http, Box::pin(connection), &activity).await
            }
            Http::Two => {
                let (stream, flusher) = coalesce::buffer(stream);
                let http2 = http2(&self.settings, Executor(turns));
                let connection = http2.serve_connection(TokioIo::new(stream), service);
                let connection = flusher.drive(Box::pin(connection));
                self.drive(http, connection, &activity).await
            }
        }
    }

    async fn drive(
        &self,
        http: Http,
        mut connection: impl GracefulConnection,
        activity: &Activity,
    ) -> hyper::Result<()> {
        let mut limits = Limits::new(&self.settings, http == Http::One);
        let (mut draining, mut finishing) = (false, false);
        loop {
            tokio::select! {
                // The connection first; the others are polled when it is idle.
                biased;
                outcome = &mut connection => return outcome,
                () = self.draining.cancelled(), if !draining => {
                    draining = true;
                    // HTTP/2 can say which requests are too late. HTTP/1.1 can't: a request on its
                    // way is answered with `connection: close`.
                    finishing = http == Http::Two;
                }
                // Dropping the connection closes it.
                () = self.closing.cancelled(), if draining => return Ok(()),
                () = activity.evicted(), if !finishing => finishing = true,
                expired = activity.expired(limits) => {
                    if finishing || expired == Expiry::SlowHead {
                        // Dropping the connection closes it.
                        return Ok(());
                    }
                    finishing = true;
                }
            }
            if finishing {
                connection.finish();
            }
            limits.idle = QUIET;
            activity.rest();
        }
    }

    /// Resolves when the host has drained and requests on their way have had time to arrive.
    async fn drained(&self) {
        self.draining.cancelled().await;
        tokio::time::sleep(QUIET).await;
    }
}

fn http2(settings: &ListenerSettings, executor: Executor) -> http2::Builder<Executor> {
    let mut http2 = http2::Builder::new(executor);
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_header_list_size(settings.max_header_bytes)
        .max_concurrent_streams(settings.max_streams)
        .max_pending_accept_reset_streams(settings.max_pending_resets)
        .max_local_error_reset_streams(settings.max_error_resets)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        // WebSocket over HTTP/2 (RFC 8441).
        .enable_connect_protocol();
    http2
}

fn announce_close<B>(response: &mut Response<B>) {
    // After an upgrade the connection is not HTTP.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

// === impl GracefulConnection ===

impl<S, E> GracefulConnection for Pin<Box<http1::UpgradeableConnection<TokioIo<S>, E>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible>,
{
    fn finish(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// An HTTP/2 connection with coalesced writes.
type Http2<S, E> = Pin<Box<http2::Connection<TokioIo<WriteBuffer<S>>, E, Executor>>>;

impl<S, E> GracefulConnection for Driver<S, Http2<S, E>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    E: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible>,
    E::Future: Send + 'static,
{
    fn finish(&mut self) {
        self.connection().as_mut().graceful_shutdown();
    }
}
