//! One connection: its handshake, its version of HTTP, its requests, its graceful end.

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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rpc::coalesce::{self, Driver, WriteBuffer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::StdError;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::activity::{Activity, Expired, Limits};
use super::answer::Answer;
use super::socket::{Http, Socket};
use crate::handler::Handler;
use crate::peer::Peer;
use crate::settings::{HTTP2, ListenerSettings};
use crate::tls::{Session, Tls};

/// Between pings on a quiet HTTP/2 connection: finds peers that vanished, and is above the 10 s that clients allow.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a ping may stay unanswered before the connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is to end may be without requests: what is on its way arrives in that time.
const QUIET: Duration = Duration::from_secs(1);

/// What every connection of a listener is served with.
pub(crate) struct Connections {
    handler: Handler,
    tls: Option<Arc<Tls>>,
    settings: ListenerSettings,
    /// Tells all of them to finish what they have begun.
    draining: CancellationToken,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// A connection on which requests can come.
enum Opened {
    Plain(Socket, Http),
    Secure(Box<TlsStream<Socket>>),
}

/// A connection that can be told to finish what it has begun.
trait Serving: Future<Output = hyper::Result<()>> + Unpin {
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
            // Our own timers, which also know idle connections and upgrades.
            .header_read_timeout(None)
            .max_headers(settings.max_headers)
            .max_header_size(settings.max_header_bytes as usize)
            .max_buf_size(settings.max_header_bytes as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
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
        Self {
            handler,
            tls,
            settings: settings.clone(),
            draining,
            http1,
            http2,
        }
    }

    /// Serves a connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, socket: Socket, address: SocketAddr) {
        if let Err(error) = self.try_serve(socket, address).await {
            // Peers vanish all the time: nothing that an operator could act on.
            tracing::debug!(error, peer = %address, "connection ended");
        }
    }

    async fn try_serve(&self, socket: Socket, address: SocketAddr) -> Result<(), StdError> {
        let tcp = TcpConnectInfo {
            local_addr: socket.local_address(),
            remote_addr: Some(address),
        };
        let opened = tokio::select! {
            opened = timeout(self.settings.idle_timeout(), self.open(socket)) => opened??,
            () = self.drained() => return Ok(()),
        };
        match opened {
            Opened::Plain(socket, http) => {
                let peer = Peer { address, tls: None };
                let activity = socket.activity();
                self.requests(http, socket, activity, tcp, peer).await?;
            }
            Opened::Secure(stream) => {
                let connection = stream.get_ref().1;
                let http = match connection.alpn_protocol() {
                    Some(HTTP2) => Http::Two,
                    // HTTP/2 over TLS is chosen by ALPN and no other way (RFC 9113 §3.2).
                    _ => Http::One,
                };
                let session = Session::of(connection);
                let peer = Peer {
                    address,
                    tls: Some(Arc::new(session)),
                };
                let activity = stream.get_ref().0.activity();
                self.requests(http, stream, activity, tcp, peer).await?;
            }
        }
        Ok(())
    }

    async fn open(&self, mut socket: Socket) -> io::Result<Opened> {
        if let Some(tls) = &self.tls
            && (!tls.allows_plain() || socket.begins_tls().await?)
        {
            let handshake = Box::pin(tls.acceptor().accept(socket));
            let stream = timeout(tls.handshake_timeout(), handshake).await??;
            return Ok(Opened::Secure(Box::new(stream)));
        }
        let http = socket.http().await?;
        Ok(Opened::Plain(socket, http))
    }

    async fn requests<S>(
        &self,
        http: Http,
        stream: S,
        activity: Arc<Activity>,
        tcp: TcpConnectInfo,
        peer: Peer,
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
            let tunnels = request.method() == Method::CONNECT;
            request.extensions_mut().insert(tcp.clone());
            request.extensions_mut().insert(peer.clone());
            let answered = handler.clone().oneshot(request);
            async move {
                let mut response = answered.await?;
                if tunnels && response.status().is_success() {
                    running.outlive();
                }
                if draining.is_cancelled() && version < Version::HTTP_2 {
                    announce_close(&mut response);
                }
                Ok::<_, Infallible>(response.map(|body| activity.answer(body, running)))
            }
        });
        // In boxes of their own: this future would have room for the largest, more than once.
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
                let connection = self.http2.serve_connection(TokioIo::new(stream), service);
                let connection = flusher.drive(Box::pin(connection));
                self.drive(http, connection, &activity).await
            }
        }
    }

    async fn drive(
        &self,
        http: Http,
        mut connection: impl Serving,
        activity: &Activity,
    ) -> hyper::Result<()> {
        let mut limits = Limits::new(&self.settings, http == Http::One);
        let (mut draining, mut finishing) = (false, false);
        loop {
            tokio::select! {
                // The others are looked at whenever it rests.
                biased;
                outcome = &mut connection => return outcome,
                () = self.draining.cancelled(), if !draining => {
                    draining = true;
                    // HTTP/2 can say which requests are too late. HTTP/1.1 can't, so one that is on its way is answered, with
                    // `connection: close`.
                    finishing = http == Http::Two;
                }
                expired = activity.expired(limits) => {
                    if finishing || expired == Expired::SlowHead {
                        // Dropping it closes it.
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

    /// Resolves when the process drains and what was on its way has had the time to arrive.
    async fn drained(&self) {
        self.draining.cancelled().await;
        tokio::time::sleep(QUIET).await;
    }
}

fn announce_close<B>(response: &mut Response<B>) {
    // After an upgrade the connection is no longer HTTP's.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

// === impl Serving ===

impl<S, E> Serving for Pin<Box<http1::UpgradeableConnection<TokioIo<S>, E>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: HttpService<Incoming, ResBody = Answer, Error = Infallible>,
{
    fn finish(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// HTTP/2 on a stream that its frames are gathered for.
type Http2<S, E> = Pin<Box<http2::Connection<TokioIo<WriteBuffer<S>>, E, TokioExecutor>>>;

impl<S, E> Serving for Driver<S, Http2<S, E>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    E: HttpService<Incoming, ResBody = Answer, Error = Infallible>,
    E::Future: Send + 'static,
{
    fn finish(&mut self) {
        self.connection().as_mut().graceful_shutdown();
    }
}
