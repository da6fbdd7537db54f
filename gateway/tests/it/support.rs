//! Shared by the tests: a gateway on a free port, HTTP clients, and waiting for a condition.

pub(crate) mod forms;
// Shared with the tests of the crate.
#[allow(dead_code, reason = "each crate uses a part")]
#[path = "../../../shared/auth/src/testing.rs"]
pub(crate) mod issuer;
pub(crate) mod messages;
pub(crate) mod nats;
pub(crate) mod process;
pub(crate) mod reflection;
mod service;
pub(crate) mod stranger;
pub(crate) mod valkey;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chassis::Process;
use chassis::config::{Layers, Sources};
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::transport::{Channel, Endpoint};

/// How long any condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that serves until it is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    process: Process,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway that has learned its upstreams.
    pub(crate) async fn ready(upstreams: &[SocketAddr]) -> Self {
        let gateway = Self::start(upstreams, &[]).await;
        gateway.wait_until_ready().await;
        gateway
    }

    /// [`Gateway::ready`] with keys of its own.
    pub(crate) async fn ready_with(upstreams: &[SocketAddr], keys: &[(&str, &str)]) -> Self {
        let gateway = Self::start(upstreams, keys).await;
        gateway.wait_until_ready().await;
        gateway
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&self, request: http::request::Builder) -> Reply {
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn start(upstreams: &[SocketAddr], keys: &[(&str, &str)]) -> Self {
        Self::configured(layers(upstreams, keys, "")).await
    }

    /// Starts a gateway with this file as its configuration.
    pub(crate) async fn with_file(text: &str) -> Self {
        Self::configured(loaded(BTreeMap::new(), text)).await
    }

    /// Starts a gateway with this whole configuration.
    pub(crate) async fn configured(layers: Layers) -> Self {
        Self::with_stages(layers, Vec::new()).await
    }

    /// Starts a gateway with stages of policy added to its own.
    pub(crate) async fn with_stages(layers: Layers, stages: Vec<Box<dyn gateway::Stage>>) -> Self {
        let process = Process::new("gateway", layers.settings().unwrap());
        let config = layers.parse().unwrap();
        let server = gateway::start_with(process.clone(), config, stages)
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = process.clone();
        let server = tokio::spawn(async move { server.serve(listener, &served).await.unwrap() });
        Self {
            address,
            process,
            server,
        }
    }

    /// Hands the gateway another configuration, as SIGHUP does.
    pub(crate) fn reload(&self, layers: Layers) {
        assert!(self.process.reload(layers.into()));
    }

    /// Waits until a path is answered with this status.
    pub(crate) async fn answers(&self, path: &str, status: u16) -> Reply {
        eventually(path, async || {
            let reply = self.get(path).await;
            if reply.status == status {
                Ok(reply)
            } else {
                Err(reply)
            }
        })
        .await
    }

    /// Returns the status of the upstream at this place in the configuration, from `/-/schema`.
    pub(crate) async fn upstream_status(&self, index: usize) -> serde_json::Value {
        self.get("/-/schema").await.json()["upstreams"][index].take()
    }

    pub(crate) async fn wait_until_ready(&self) {
        eventually("the gateway is ready", async || {
            let reply = self.get("/readyz").await;
            (reply.status == StatusCode::OK)
                .then_some(())
                .ok_or(reply.text())
        })
        .await;
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Full::default()).unwrap())
            .await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Reply {
        let request = Request::post(path).header("content-type", content_type);
        self.send(request.body(Full::new(body.into())).unwrap())
            .await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let (response, _connection) = self.open(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Sends a request on an HTTP/1.1 connection of its own, which breaks when the second value is
    /// dropped.
    pub(crate) async fn open<B>(&self, request: Request<B>) -> (Response<Incoming>, Connection)
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        open(self.address, request).await
    }

    pub(crate) async fn connect<B>(&self) -> (Sender<B>, Connection)
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        connect(self.address).await
    }

    /// [`Gateway::open`] over HTTP/2.
    pub(crate) async fn open_http2<B>(
        &self,
        request: Request<B>,
    ) -> (Response<Incoming>, Connection)
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
    {
        let (mut sender, connection) = self.connect_http2().await;
        let response = sender.send_request(self.absolute(request)).await;
        (response.unwrap(), connection)
    }

    /// The request with an address that is absolute, as clients of HTTP/2 need it.
    pub(crate) fn absolute<B>(&self, mut request: Request<B>) -> Request<B> {
        let uri = format!("http://{}{}", self.address, request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        request
    }

    /// [`Gateway::connect`] over HTTP/2; requests need to be [`Gateway::absolute`].
    pub(crate) async fn connect_http2<B>(&self) -> (http2::SendRequest<B>, Connection)
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
    {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        (sender, Connection(task.abort_handle()))
    }

    /// Stops as SIGTERM does, and returns when the last connection is closed.
    pub(crate) async fn stop(&mut self) {
        self.process.drain();
        soon("the drain", &mut self.server).await.unwrap();
    }

    /// A client of native gRPC.
    pub(crate) async fn grpc(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Sends requests on one HTTP/1.1 connection, each with the `host` that it must have.
pub(crate) struct Sender<B>(SendRequest<B>);

impl<B> Sender<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    pub(crate) fn send_request(
        &mut self,
        mut request: Request<B>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<B> {
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().entry(HOST).or_insert(host);
        self.0.send_request(request)
    }
}

/// Sends a request on an HTTP/1.1 connection of its own, which breaks when the second value is
/// dropped.
pub(crate) async fn open<B>(
    address: SocketAddr,
    request: Request<B>,
) -> (Response<Incoming>, Connection)
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let (mut sender, connection) = connect(address).await;
    (sender.send_request(request).await.unwrap(), connection)
}

async fn connect<B>(address: SocketAddr) -> (Sender<B>, Connection)
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let task = tokio::spawn(async move {
        // A test that breaks the connection is what an error here would be about.
        let _ = connection.await;
    });
    (Sender(sender), Connection(task.abort_handle()))
}

/// Breaks when it is dropped.
pub(crate) struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response that has arrived as a whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a `google.rpc.Status` with this HTTP status, code and reason.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: tonic::Code, reason: &str) {
        let json = self.json();
        let found = (
            self.status.as_u16(),
            json["code"].as_i64(),
            json["details"][0]["reason"].as_str(),
        );
        assert_eq!(found, (status, Some(code as i64), Some(reason)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
    }
}

/// The configuration of a gateway in front of these upstreams: that of a TOML file, outdone by
/// single keys.
pub(crate) fn layers(upstreams: &[SocketAddr], keys: &[(&str, &str)], file: &str) -> Layers {
    let urls = upstreams.iter().map(|address| format!("http://{address}"));
    let mut flags = BTreeMap::from([
        ("upstreams".to_owned(), urls.collect()),
        ("reflect_interval_ms".to_owned(), vec!["20".to_owned()]),
        ("sse_keep_alive_ms".to_owned(), vec!["20".to_owned()]),
    ]);
    for (key, value) in keys {
        flags.insert((*key).to_owned(), vec![(*value).to_owned()]);
    }
    loaded(flags, file)
}

/// A configuration of flags and a file.
pub(crate) fn loaded(flags: BTreeMap<String, Vec<String>>, file: &str) -> Layers {
    let written = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(written.path(), file).unwrap();
    let sources = Sources {
        file: Some(written.path().to_owned()),
        environment: Vec::new(),
        flags,
    };
    Layers::load(gateway::DEFAULTS, &sources).unwrap()
}

/// Waits until `check` returns a value, and panics with what it last saw.
pub(crate) async fn eventually<T, S: Debug>(
    what: &str,
    mut check: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    // Questions that come too often keep the asked one from what it is waited for.
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match check().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within {PATIENCE:?}, last saw {seen:?}")
            }
            Err(_) => ticks.tick().await,
        };
    }
}

/// Bounds a wait for something that only a bug would keep from happening.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}
