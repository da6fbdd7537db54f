//! A contract, a service and a running server for the tests of this crate.

mod authority;

use ::admission::{AdmissionSettings, Budget};
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, LazyLock, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use client::{ClientSettings, Upstream};
use contract::{Idempotency, Method, MethodKind};
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use telemetry::Metrics;
use telemetry::observe::AccessLogSettings;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{Host, IdentitySettings, ListenerSettings, Server, Settings, TlsSettings};

pub(crate) use authority::Authority;

pub(crate) const GET: &str = "/shop.v1.ShopService/Get";
pub(crate) const PUT: &str = "/shop.v1.ShopService/Put";
pub(crate) const COUNT: &str = "/shop.v1.ShopService/Count";
pub(crate) const OWN: &str = "/shop.v1.ShopService/Own";
pub(crate) const COUNT_OWN: &str = "/shop.v1.ShopService/CountOwn";

pub(crate) static METHODS: &[Method] = &[
    method(
        GET,
        "shop.v1.GetRequest",
        MethodKind::Unary,
        Idempotency::NoSideEffects,
    ),
    method(
        PUT,
        "shop.v1.PutRequest",
        MethodKind::Unary,
        Idempotency::Unknown,
    ),
    method(
        COUNT,
        "shop.v1.Line",
        MethodKind::ClientStreaming,
        Idempotency::Unknown,
    ),
    method(
        OWN,
        "shop.v1.GetRequest",
        MethodKind::Unary,
        Idempotency::Unknown,
    ),
    method(
        COUNT_OWN,
        "shop.v1.Line",
        MethodKind::ClientStreaming,
        Idempotency::Unknown,
    ),
];

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Get {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Put {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Line {
    #[prost(string, tag = "1")]
    pub(crate) sku: String,
    #[prost(int64, tag = "2")]
    pub(crate) quantity: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Reply {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

type Answer = BoxFuture<'static, Result<String, Status>>;

/// Answers `Get`, `Put` and `Own` by a function of the id, and the others by the number of lines.
#[derive(Clone)]
pub(crate) struct Shop(Arc<dyn Fn(String) -> Answer + Send + Sync>);

/// A running server on a free port.
pub(crate) struct Running {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) host: Host,
    pub(crate) served: JoinHandle<anyhow::Result<()>>,
}

pub(crate) fn descriptor_set() -> &'static [u8] {
    static SET: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let includes = [
            root.join("src/testing"),
            root.join("../compiler/third_party"),
            root.join("../compiler/proto"),
        ];
        let mut compiler = protox::Compiler::new(includes).unwrap();
        compiler
            .include_imports(true)
            .open_file("shop.proto")
            .unwrap();
        compiler.encode_file_descriptor_set()
    });
    &SET
}

/// Traces the whole test process, from before the first server or client.
///
/// tracing caches per call site whether it has a subscriber; with one per thread, a test without
/// one could disable a site that another test listens to.
pub(crate) fn subscribe() {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing_subscriber::registry().with(layer).init();
    });
}

/// Returns the documented defaults.
pub(crate) fn settings() -> Settings {
    #[derive(Deserialize)]
    struct Defaults {
        admission: AdmissionSettings,
        listener: ListenerSettings,
        tls: TlsSettings,
        access_log: AccessLogSettings,
        identity: IdentitySettings,
    }
    subscribe();
    let defaults = include_str!("../../chassis/src/config.default.toml");
    let defaults: Defaults = toml::from_str(defaults).unwrap();
    Settings {
        drain_timeout: Duration::from_secs(10),
        max_message_bytes: 4 * 1024 * 1024,
        max_connections: 10_000,
        metrics: true,
        admin_listen: String::new(),
        operator_tokens: String::new(),
        admission: defaults.admission,
        listener: defaults.listener,
        tls: defaults.tls,
        access_log: defaults.access_log,
        identity: defaults.identity,
    }
}

/// Returns a process with these settings.
pub(crate) fn host(settings: Settings) -> Host {
    Host {
        process: "test".to_owned(),
        budget: Budget::new(settings.listener.max_held_bytes),
        settings,
        metrics: Metrics::new("shop"),
        draining: CancellationToken::new(),
    }
}

/// Calls a unary method.
pub(crate) async fn call(
    upstream: &Upstream,
    path: &'static str,
    message: impl prost::Message + 'static,
) -> Result<String, Status> {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let codec = ProstCodec::<_, Reply>::default();
    let request = tonic::Request::new(message);
    let reply = client
        .unary(request, PathAndQuery::from_static(path), codec)
        .await?;
    Ok(reply.into_inner().text)
}

const fn method(
    path: &'static str,
    input: &'static str,
    kind: MethodKind,
    idempotency: Idempotency,
) -> Method {
    Method {
        path,
        input,
        output: "shop.v1.Reply",
        kind,
        idempotency,
        criticality: contract::Criticality::Normal,
    }
}

// === impl Shop ===

impl Shop {
    pub(crate) fn new<F>(answer: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, Status>> + Send + 'static,
    {
        Self(Arc::new(move |id| Box::pin(answer(id))))
    }

    /// Echoes the id.
    pub(crate) fn echo() -> Self {
        Self::new(async |id| Ok(id))
    }

    pub(crate) fn server(self) -> Server {
        Server::new(descriptor_set(), METHODS).add_service(self)
    }
}

impl NamedService for Shop {
    const NAME: &'static str = "shop.v1.ShopService";
}

impl Service<Request<Body>> for Shop {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.clone();
        let reply = |text| tonic::Response::new(Reply { text });
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                GET | OWN => {
                    let unary = service_fn(move |request: tonic::Request<Get>| {
                        let text = answer(request.into_inner().id);
                        async move { text.await.map(reply) }
                    });
                    tonic::server::Grpc::new(ProstCodec::<Reply, Get>::default())
                        .unary(unary, request)
                        .await
                }
                PUT => {
                    let unary = service_fn(move |request: tonic::Request<Put>| {
                        let text = answer(request.into_inner().id);
                        async move { text.await.map(reply) }
                    });
                    tonic::server::Grpc::new(ProstCodec::<Reply, Put>::default())
                        .unary(unary, request)
                        .await
                }
                _ => {
                    let count = service_fn(
                        move |request: tonic::Request<tonic::Streaming<Line>>| async move {
                            let lines: Result<Vec<Line>, Status> =
                                request.into_inner().collect().await;
                            Ok(reply(lines?.len().to_string()))
                        },
                    );
                    tonic::server::Grpc::new(ProstCodec::<Reply, Line>::default())
                        .client_streaming(count, request)
                        .await
                }
            })
        })
    }
}

// === impl Running ===

impl Running {
    pub(crate) async fn start(server: Server, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = host(settings);
        let served = tokio::spawn(server.serve(listener, host.clone()));
        Self {
            address,
            host,
            served,
        }
    }

    pub(crate) fn upstream(&self) -> Upstream {
        let url = format!("http://{}", self.address);
        Upstream::connect_lazy(&url, &ClientSettings::default(), METHODS).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.host.draining.cancel();
        self.served.await.unwrap().unwrap();
    }
}
