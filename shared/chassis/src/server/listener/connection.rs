//! One connection: its handshake, its version of HTTP, its requests, its graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::socket::{Http, Socket};
use crate::server::tls::{self, Session, Tls};
use crate::server::{Handler, Peer};

/// Calls at once on one HTTP/2 connection; a peer with more waits, or opens another connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;

/// Between pings on a quiet HTTP/2 connection: finds peers that vanished, and is above the 10 s that clients allow.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a ping may stay unanswered before the connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every connection of a listener is served with.
pub(super) struct Connections {
    pub(super) handler: Handler,
    pub(super) tls: Option<Arc<Tls>>,
    /// Tells all of them to finish what they have begun.
    pub(super) draining: CancellationToken,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// A connection on which requests can come.
enum Opened {
    Plain(Socket, Http),
    Secure(Box<TlsStream<Socket>>),
}

/// A connection that can be told to finish what it has begun.
trait Serving: Future<Output = hyper::Result<()>> {
    fn finish(self: Pin<&mut Self>);
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(
        handler: Handler,
        tls: Option<Arc<Tls>>,
        draining: CancellationToken,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new());
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX);
        Self {
            handler,
            tls,
            draining,
            http1,
            http2,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, socket: Socket, address: SocketAddr) {
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
        let opening = self.draining.run_until_cancelled(self.open(socket));
        // What has not begun yet has nothing to finish.
        let Some(opened) = opening.await.transpose()? else {
            return Ok(());
        };
        match opened {
            Opened::Plain(socket, http) => {
                let peer = Peer { address, tls: None };
                self.requests(http, socket, tcp, peer).await?;
            }
            Opened::Secure(stream) => {
                let connection = stream.get_ref().1;
                let http = match connection.alpn_protocol() {
                    Some(tls::HTTP2) => Http::Two,
                    // HTTP/2 over TLS is chosen by ALPN and no other way (RFC 9113 §3.2).
                    _ => Http::One,
                };
                let session = Session::of(connection);
                let peer = Peer {
                    address,
                    tls: Some(Arc::new(session)),
                };
                self.requests(http, *stream, tcp, peer).await?;
            }
        }
        Ok(())
    }

    async fn open(&self, mut socket: Socket) -> io::Result<Opened> {
        if let Some(tls) = &self.tls
            && (!tls.allows_plain() || socket.begins_tls().await?)
        {
            let handshake = tls.acceptor().accept(socket);
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
        tcp: TcpConnectInfo,
        peer: Peer,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handler = self.handler.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(tcp.clone());
            request.extensions_mut().insert(peer.clone());
            handler.clone().oneshot(request)
        });
        let stream = TokioIo::new(stream);
        match http {
            Http::One => {
                self.drive(self.http1.serve_connection(stream, service).with_upgrades())
                    .await
            }
            Http::Two => {
                self.drive(self.http2.serve_connection(stream, service))
                    .await
            }
        }
    }

    async fn drive(&self, connection: impl Serving) -> hyper::Result<()> {
        let mut connection = pin!(connection);
        tokio::select! {
            outcome = connection.as_mut() => return outcome,
            () = self.draining.cancelled() => connection.as_mut().finish(),
        }
        connection.await
    }
}

// === impl Serving ===

impl<S, E> Serving for http1::UpgradeableConnection<TokioIo<S>, E>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, E> Serving for http2::Connection<TokioIo<S>, E, TokioExecutor>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    E: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    E::Future: Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
