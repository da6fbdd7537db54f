//! The listener of a process: its services behind one ordered list of layers, with health, reflection and drain.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use contract::{Method, MethodKind};
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::{Service, ServiceExt, service_fn};

use self::probes::Probes;
use self::tls::Tls;
use crate::Process;
use crate::observe::{self, Observer};
use crate::policy::validation::Rules;
use crate::policy::{deadline, stalled, torn, validation};

mod admission;
mod handler;
mod listener;
mod operator;
mod peer;
mod probes;
mod tls;
pub(crate) mod trace;

#[cfg(test)]
mod tests;

pub(crate) use handler::Handler;
pub use listener::ListenerSettings;
pub use operator::{OPERATOR_PREFIX, Operator};
pub use peer::Peer;
pub use tls::{Certificate, ClientAuth, Session, TlsMode, TlsSettings};

/// What a request passes, and what that takes.
struct Layers {
    bounds: admission::Bounds,
    probes: Probes,
    observer: Arc<Observer>,
    names: HashSet<&'static str>,
    fallback: Option<Handler>,
    /// Methods whose request is one message.
    single: HashSet<&'static str>,
    stall_timeout: Duration,
    rules: Arc<Rules>,
    routes: Routes,
}

/// What a process serves.
///
/// Each gRPC call passes, in this order: admission, probes, record (metrics, access log, trace), panic guard, deadline, torn
/// requests, stalled requests, validation, the service.
/// [`Server::serve`] says why.
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    contract: Option<Contract>,
    services: RoutesBuilder,
    names: Vec<&'static str>,
    fallback: Option<Handler>,
    ready: Ready,
}

/// What every process serves besides its own services.
const STANDARD_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Their methods, so that a caller can't make up the names that are counted.
const STANDARD_METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Answers `GET /readyz`.
pub(crate) type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// Between two questions whether the process is ready.
const READY_INTERVAL: Duration = Duration::from_millis(20);

struct Contract {
    descriptor_set: Vec<u8>,
    methods: &'static [Method],
}

// === impl Server ===

impl Server {
    /// Creates a server for the services of a contract: the encoded `FileDescriptorSet` and its method table.
    ///
    /// Reflection answers with these very bytes, so custom options such as `google.api.http` survive.
    pub fn new(descriptor_set: &[u8], methods: &'static [Method]) -> Self {
        Self {
            contract: Some(Contract {
                descriptor_set: descriptor_set.to_vec(),
                methods,
            }),
            services: RoutesBuilder::default(),
            names: Vec::new(),
            fallback: None,
            ready: Arc::new(|| true),
        }
    }

    /// Creates a server for any HTTP service, which gets every request that no added gRPC service claims.
    ///
    /// It has the listener, the connection limit, the probes, the record and the drain of [`Server::new`]. Deadline
    /// and validation are its own affair, because its protocols are. Upgrades work; `TcpConnectInfo` of tonic is
    /// among the request's extensions and tells the peer's address.
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError>,
    {
        let boxed = service.map_response(|response: Response<B>| response.map(Body::new));
        Self {
            contract: None,
            services: RoutesBuilder::default(),
            names: Vec::new(),
            fallback: Some(Handler::new(boxed)),
            ready: Arc::new(|| true),
        }
    }

    /// Adds a generated tonic server.
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.services.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Sets what `GET /readyz` waits for beyond a running listener, for example a schema that is loaded.
    pub fn ready_when(mut self, ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.ready = Arc::new(ready);
        self
    }

    /// Waits until `GET /readyz` would say so, or until `stop`.
    pub(crate) async fn until_ready(&self, stop: &CancellationToken) {
        let ready = async {
            while !(self.ready)() {
                tokio::time::sleep(READY_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(ready).await;
    }

    /// Serves until the process drains, then lets running requests finish within `drain_timeout_ms`. Operators are served on
    /// `admin_listen`, if it is set.
    ///
    /// # Errors
    /// A contract that can't be served: its descriptor set or one of its validation rules is broken. An `admin_listen` that can't
    /// be listened on. Certificates that can't be used.
    pub async fn serve(self, listener: TcpListener, process: &Process) -> anyhow::Result<()> {
        let admin = match process.settings().admin_address().context("admin_listen")? {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .with_context(|| format!("listen on {address}, the `admin_listen`"))?,
            ),
            None => None,
        };
        self.serve_apart(listener, admin, process).await
    }

    /// [`Server::serve`], with operators on a listener that is bound already.
    ///
    /// # Errors
    /// See [`Server::serve`].
    pub async fn serve_apart(
        mut self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        process: &Process,
    ) -> anyhow::Result<()> {
        let tls = Tls::load(&process.settings().tls)?;
        let health = HealthReporter::new();
        let public = self.names.clone();
        self = self.with_standard_services(health.clone())?;
        let handler = self.into_handler(process, admin.is_some())?;
        for name in &public {
            health
                .set_service_status(name, ServingStatus::Serving)
                .await;
        }
        let draining = process.draining();
        let announce_stop = async move {
            draining.cancelled().await;
            for name in public.iter().chain(&[""]) {
                health
                    .set_service_status(name, ServingStatus::NotServing)
                    .await;
            }
        };
        let for_operators = handler.clone();
        let operators = async {
            if let Some(admin) = admin {
                listener::run(admin, operator::only(for_operators), None, process).await;
            }
        };
        let public = listener::run(listener, handler, tls, process);
        let ((), (), ()) = tokio::join!(announce_stop, public, operators);
        Ok(())
    }

    fn with_standard_services(self, health: HealthReporter) -> anyhow::Result<Self> {
        use tonic_health::pb::health_server::HealthServer;
        use tonic_health::server::HealthService;
        use tonic_reflection::pb::{v1, v1alpha};

        let service = HealthService::from_health_reporter(health);
        let mut server = self;
        let contract = server.contract.take();
        if let Some(contract) = &contract {
            let names = server.names.clone();
            // tonic-reflection 0.14 has one builder per version; grpcurl 1.8 speaks only v1alpha.
            let reflection = || {
                let files = tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(&contract.descriptor_set)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET);
                // Named one by one: the files of a contract also declare services that other processes serve.
                let names = names.iter().copied().chain(STANDARD_SERVICES);
                names.fold(files, |files, name| files.with_service_name(name))
            };
            let v1 = reflection().build_v1().context("reflection")?;
            let v1alpha = reflection().build_v1alpha().context("reflection")?;
            server = server.add_service(v1).add_service(v1alpha);
        }
        server.contract = contract;
        Ok(server.add_service(HealthServer::new(service)))
    }

    fn into_handler(self, process: &Process, has_admin: bool) -> anyhow::Result<Handler> {
        let single = self.contract.as_ref().map(Contract::single);
        let layers = Arc::new(Layers {
            bounds: admission::Bounds::new(&process.settings().listener),
            probes: Probes {
                ready: self.ready.clone(),
                draining: process.draining(),
                metrics: process
                    .settings()
                    .metrics
                    .then(|| process.metrics().clone()),
                has_admin,
            },
            observer: Arc::new(self.observer(process)),
            stall_timeout: process.settings().listener.body_stall_timeout(),
            single: single.unwrap_or_default(),
            rules: Arc::new(self.rules(process.settings().max_message_bytes)?),
            routes: self.services.routes().prepare(),
            names: self.names.into_iter().collect(),
            fallback: self.fallback,
        });
        let service = service_fn(move |request| layers.clone().serve(request));
        Ok(Handler::new(service))
    }

    fn observer(&self, process: &Process) -> Observer {
        let methods = self.contract.iter().flat_map(|contract| contract.methods);
        let served = methods
            .map(|method| method.path)
            .filter(|path| self.names.contains(&service_name(path)));
        Observer::new(
            process.metrics().clone(),
            process.settings().access_log.clone(),
            served.chain(STANDARD_METHODS).collect(),
        )
    }

    fn rules(&self, max_message_bytes: usize) -> anyhow::Result<Rules> {
        match &self.contract {
            Some(contract) => Rules::compile(
                &contract.descriptor_set,
                contract.methods,
                max_message_bytes,
            ),
            None => Rules::compile(&[], &[], max_message_bytes),
        }
    }
}

// === impl Layers ===

impl Layers {
    // A request meets what is here from the top down. What is not accepted costs nothing at all: the limit of connections is in
    // the listener.
    async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        // What may be read in two ways is refused before anything reads it, probes included.
        if let Some(refusal) = self.bounds.refuse(&request) {
            return Ok(refusal);
        }
        operator::mark(&mut request, self.probes.has_admin);
        // Probes come every second from every side: outside of the record, which they would fill.
        if let Some(answer) = self.probes.answer(&request) {
            return Ok(answer);
        }
        // The record is around all that can refuse a call: a refusal is counted, logged and traced as well.
        let opened = observe::open(&self.observer, &request);
        opened.around(trace::guard(self.answer(request))).await
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        match self.other(&request) {
            // The fallback of `from_service` speaks its own protocols, so the layers of gRPC are not around it.
            Some(handler) => handler.clone().call(request).await,
            // In a box of its own, so that the others need not make room for it.
            None => self.call(observe::count_body(request)).boxed().await,
        }
    }

    // The innermost first: a call meets them from the bottom up. They borrow what they need, so that a call clones none.
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        // Validation is last: its cost is for calls that will reach the handler, and counts against the deadline.
        let service = service_fn(|request| {
            validation::enforce(self.rules.clone(), answer(self.routes.clone()), request)
        });
        // A message that stops halfway is given up, before tonic waits for it without end.
        let service = service_fn(move |request| {
            stalled::enforce(&self.single, self.stall_timeout, service, request)
        });
        // A torn request is marked before validation passes it on: behind it is tonic, which takes the cut for the end.
        let service = service_fn(move |request| torn::enforce(service, request));
        // The deadline is inside of the trace, so that a call that ran out of time has one.
        deadline::enforce(service, request).await
    }

    /// Who answers what no service of gRPC here does.
    fn other(&self, request: &Request<Incoming>) -> Option<&Handler> {
        let claimed = self.names.contains(service_name(request.uri().path()));
        self.fallback.as_ref().filter(|_| !claimed)
    }
}

// === impl Contract ===

impl Contract {
    /// The paths of the methods whose request is one message.
    fn single(&self) -> HashSet<&'static str> {
        let is_single = |kind| matches!(kind, MethodKind::Unary | MethodKind::ServerStreaming);
        let single = self.methods.iter().filter(|method| is_single(method.kind));
        single.map(|method| method.path).collect()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

// `Routes` leaves its response body to inference; this fixes it.
fn answer(
    routes: Routes,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync {
    routes
}

// "/orders.v1.OrderService/GetOrder" → "orders.v1.OrderService"
fn service_name(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}
