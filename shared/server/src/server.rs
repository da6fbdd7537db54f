//! The services of a process, with health and reflection, on its listeners.

mod contract;
mod entrances;
mod health;
mod operators;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::contract::{Method, MethodKind};
use anyhow::Context;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use telemetry::metrics::Protocol;
use telemetry::observe::{Observer, Sniff};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::server::HealthReporter;
use tower::{Service, ServiceExt, service_fn};

use crate::admission::Admission;
use crate::admission::hosts::AllowedHosts;
use crate::handler::Handler;
use crate::host::Host;
use crate::layers::access::Access;
use crate::layers::identity::Callers;
use crate::layers::overload::Overload;
use crate::layers::validation::Rules;
use crate::layers::{Endpoints, Layers};
use crate::listener::descriptors;
use crate::operator::Tokens;
use crate::probes::{Probes, Ready};
use crate::tls::Tls;
use crate::{listener, operator};

use self::contract::Contract;
pub use self::entrances::Calls;
use self::entrances::Entrance;
use self::health::{announce, follow};
use self::operators::{OperatorSide, add_reflection};

/// The services of a process.
///
/// Each gRPC call passes, in this order: admission, probes, allowed hosts, record (metrics, access
/// log, trace), panic guard, deadline, overload, identity, access, memory, truncated requests,
/// stalled requests, validation, condition of access, the service.
/// `Layers` in `layers.rs` gives the reasons.
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    contract: Option<Contract>,
    operators: Option<OperatorSide>,
    services: RoutesBuilder,
    names: Vec<&'static str>,
    fallback: Option<Handler>,
    entrances: Vec<Entrance>,
    ready: Ready,
    sniff: Sniff,
}

/// Server reflection, in both versions.
const REFLECTION: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Services of every process.
const STANDARD_SERVICES: [&str; 3] = ["grpc.health.v1.Health", REFLECTION[0], REFLECTION[1]];

/// Their methods. Only known names are counted, so that a caller can't invent labels.
const STANDARD_METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The address of the server itself among its limits.
const OWN_LIMIT: &str = "self";

/// Interval of readiness checks at the start.
const READY_INTERVAL: Duration = Duration::from_millis(20);

// === impl Server ===

impl Server {
    /// Creates a server for the services of a contract: the encoded `FileDescriptorSet` and its
    /// method table.
    ///
    /// Reflection answers with these very bytes, so custom options such as `google.api.http`
    /// survive.
    pub fn new(descriptor_set: &[u8], methods: &'static [Method]) -> Self {
        Self {
            contract: Some(Contract::new(descriptor_set, methods)),
            operators: None,
            services: RoutesBuilder::default(),
            names: Vec::new(),
            fallback: None,
            entrances: Vec::new(),
            ready: Arc::new(|| true),
            sniff: Protocol::of,
        }
    }

    /// Creates a server for any HTTP service, which gets every request that no added gRPC service
    /// claims.
    ///
    /// It has the listener, the limit of connections, the probes, the record and the drain of
    /// [`Server::new`]. Deadline and validation are up to the service, as its protocols are.
    /// Upgrades work; `TcpConnectInfo` of tonic is among the request's extensions and holds the
    /// peer's address.
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
            operators: None,
            services: RoutesBuilder::default(),
            names: Vec::new(),
            fallback: Some(Handler::new(boxed)),
            entrances: Vec::new(),
            ready: Arc::new(|| true),
            sniff: Protocol::of,
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

    /// Adds the service that only operators may call, with its contract: the encoded
    /// `FileDescriptorSet` and its method table.
    ///
    /// It is served on `admin_listen`, else to direct callers from this machine, and every call
    /// needs the token of an operator; the handler finds its [`OperatorName`] among the extensions.
    /// Public reflection doesn't show it. That of the operators' side does, and with it the types
    /// of the public contract, which its messages may hold as `google.protobuf.Any`.
    pub fn for_operators<S>(
        mut self,
        descriptor_set: &[u8],
        methods: &'static [Method],
        service: S,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let contract = Contract::new(descriptor_set, methods);
        self.operators = Some(OperatorSide::new(contract, service));
        self
    }

    /// Adds a way in beside the listeners, for calls of the public services. It ends when the
    /// second argument is cancelled and its calls are answered.
    pub fn with_entrance<F, Fut>(mut self, entrance: F) -> Self
    where
        F: FnOnce(Calls, CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.entrances.push(entrances::boxed(entrance));
        self
    }

    /// Returns the unary methods of the services that were added so far.
    pub fn unary_methods(&self) -> impl Iterator<Item = &'static Method> {
        let methods = self.contract.iter().flat_map(|contract| contract.methods);
        methods.filter(|method| {
            let is_ours = self.names.contains(&operator::service_of(method.path));
            is_ours && method.kind == MethodKind::Unary
        })
    }

    /// Sets the condition of `GET /readyz` beyond a running listener, for example a loaded schema.
    pub fn ready_when(mut self, ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.ready = Arc::new(ready);
        self
    }

    /// Sets how requests are told apart by protocol in metrics, spans and log lines. By default
    /// they are gRPC or plain HTTP.
    pub fn sniff_protocol(mut self, sniff: Sniff) -> Self {
        self.sniff = sniff;
        self
    }

    /// Waits until `GET /readyz` succeeds, or until `stop`.
    pub async fn until_ready(&self, stop: &CancellationToken) {
        let ready = async {
            while !(self.ready)() {
                tokio::time::sleep(READY_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(ready).await;
    }

    /// Serves until the host drains, then lets running requests finish within `drain_timeout`.
    /// Operators are served on `admin_listen`, if it is set.
    ///
    /// # Errors
    /// A contract with a malformed descriptor set or an invalid validation rule, an `admin_listen`
    /// that can't be listened on, unusable certificates.
    pub async fn serve(self, listener: TcpListener, host: impl Into<Host>) -> anyhow::Result<()> {
        let host = host.into();
        let admin = match host.settings.admin_address().context("admin_listen")? {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .with_context(|| format!("listen on {address}, the `admin_listen`"))?,
            ),
            None => None,
        };
        self.serve_apart(listener, admin, host).await
    }

    /// Serves as [`Server::serve`] does, with operators on a listener that is bound already.
    ///
    /// # Errors
    /// See [`Server::serve`].
    pub async fn serve_apart(
        mut self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        host: impl Into<Host>,
    ) -> anyhow::Result<()> {
        let host = host.into();
        descriptors::make_room(host.settings.max_connections)?;
        let tls = Tls::load(&host.settings.tls)?;
        let tokens = Tokens::load(&host.settings.operator_tokens)?;
        let health = HealthReporter::new();
        let (public, ready) = (self.names.clone(), self.ready.clone());
        self = self.with_standard_services(health.clone())?;
        let entrances = std::mem::take(&mut self.entrances);
        let layers = Arc::new(self.into_layers(&host, tokens, admin.is_some())?);
        let of_operators = layers.operators.names.clone();
        let layers_of_keys = layers.clone();
        let entrances = entrances::open(entrances, layers.clone(), &host);
        let handler = Handler::new(service_fn(move |request| layers.clone().serve(request)));
        announce(&health, &public, ready()).await;
        let announcements = follow(&health, &public, ready, &host.draining);
        let certificates = async {
            if let Some(tls) = tls.clone() {
                tls.follow_files(host.draining.clone()).await;
            }
        };
        let allowed = AllowedHosts::new(&host.settings.listener.allowed_hosts);
        let keys = layers_of_keys.callers.follow_keys(&host.draining);
        let for_operators = operator::only(handler.clone(), allowed, of_operators);
        let operators = async {
            match admin {
                Some(admin) => listener::run(admin, for_operators, None, &host).await,
                None => Ok(()),
            }
        };
        let public = listener::run(listener, handler, tls.clone(), &host);
        let ((), (), (), (), public, operators) = tokio::join!(
            announcements,
            certificates,
            keys,
            entrances,
            public,
            operators
        );
        public.and(operators)
    }

    fn with_standard_services(self, health: HealthReporter) -> anyhow::Result<Self> {
        use tonic_health::pb::health_server::HealthServer;
        use tonic_health::server::HealthService;

        let service = HealthService::from_health_reporter(health);
        let mut server = self;
        if let Some(contract) = &server.contract {
            let set = contract.descriptor_set.as_slice();
            add_reflection(&mut server.services, &[set], &server.names)?;
            server.names.extend(REFLECTION);
        }
        Ok(server.add_service(HealthServer::new(service)))
    }

    fn into_layers(self, host: &Host, tokens: Tokens, has_admin: bool) -> anyhow::Result<Layers> {
        let settings = &host.settings;
        let single = self.contract.as_ref().map(Contract::single);
        let restricted = self.operators.iter().map(OperatorSide::service).collect();
        let max_message_bytes = settings.max_message_bytes;
        let observer = Arc::new(self.observer(host));
        let overload = self.overload(host);
        let methods = self.contract.as_ref().map(|contract| contract.methods);
        let methods = methods.unwrap_or_default();
        let access = self.access(settings.identity.enforce_access)?;
        let rules = self.rules(max_message_bytes, &access)?;
        let callers = Callers::new(&settings.identity, &settings.tls, methods)?;
        let operators = operators::endpoints(self.operators, self.contract, max_message_bytes)?;
        Ok(Layers {
            admission: Admission::new(&settings.listener),
            allowed_hosts: AllowedHosts::new(&settings.listener.allowed_hosts),
            probes: Probes {
                ready: self.ready,
                draining: host.draining.clone(),
                metrics: settings.metrics.then(|| host.metrics.clone()),
                has_admin,
            },
            observer,
            overload,
            callers,
            access,
            pace: settings.listener.body_pace(),
            budget: host.budget.clone(),
            public: Endpoints {
                single: single.unwrap_or_default(),
                rules,
                routes: self.services.routes().prepare(),
                names: Arc::new(self.names.into_iter().collect()),
            },
            operators,
            restricted,
            process: host.process.clone(),
            tokens,
            fallback: self.fallback,
        })
    }

    fn observer(&self, host: &Host) -> Observer {
        let methods = self.contract.iter().flat_map(|contract| contract.methods);
        let served = methods
            .map(|method| method.path)
            .filter(|path| self.names.contains(&operator::service_of(path)));
        let of_operators = self.operators.iter().flat_map(OperatorSide::paths);
        Observer::new(
            host.metrics.clone(),
            host.settings.access_log.clone(),
            served.chain(of_operators).chain(STANDARD_METHODS).collect(),
            self.sniff,
        )
    }

    fn overload(&self, host: &Host) -> Overload {
        let methods = self.contract.as_ref().map(|contract| contract.methods);
        let overload = Overload::new(&host.settings.admission, methods.unwrap_or_default());
        if self.contract.is_some() {
            host.metrics.limit(OWN_LIMIT, overload.limiter.clone());
        }
        overload
    }

    fn access(&self, is_enforced: bool) -> anyhow::Result<Access> {
        let contract = self.contract.as_ref().filter(|_| is_enforced);
        contract.map_or(Ok(Access::open()), |contract| {
            Access::enforce(&contract.descriptor_set, contract.methods).context("contract")
        })
    }

    fn rules(&self, max_message_bytes: usize, access: &Access) -> anyhow::Result<Rules> {
        match &self.contract {
            Some(contract) => Rules::compile_framing(
                &contract.descriptor_set,
                contract.methods,
                max_message_bytes,
                |path| access.has_condition(path),
            ),
            None => Rules::compile(&[], &[], max_message_bytes),
        }
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
