//! Stages of policy: steps that let a request pass or refuse it once its method is known.

use std::net::IpAddr;
use std::sync::Arc;

use auth::Identity;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use tonic::Status;
use transcoder::{Idempotency, MethodPlan};

use super::client_address::ClientAddress;
use crate::api::UpstreamHandle;

/// A check of requests that a build of the gateway adds, see [`start_with`](crate::start_with). The
/// gateway's own authentication comes before; new ones go in this order: authorize, rate limit.
///
/// It runs once for each request, of every protocol, after the method is resolved and before the
/// body is read. The pages that the gateway serves about itself (`/docs`, `/openapi.json`, `/-/…`)
/// and its server reflection pass it too. These don't: preflights, OPTIONS for a path without such
/// a route, the probes, the metrics, gRPC health, and requests that are rejected before their
/// method is known.
#[tonic::async_trait]
pub trait Stage: Send + Sync + 'static {
    /// Lets a request pass.
    ///
    /// # Errors
    /// The status that the caller gets, in the form of its own protocol. A `chassis::error::Fault`
    /// makes one with a stable reason.
    async fn admit(&self, request: &RequestInfo<'_>) -> Result<(), Status>;
}

/// The stages that a build of the gateway adds, in their order.
pub(crate) type Stages = Arc<[Box<dyn Stage>]>;

/// A request whose method is resolved, without its body.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    head: &'a Parts,
    callee: Callee<'a>,
}

/// The method that a request calls, whatever its protocol.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Callee<'a> {
    /// `None` where the gateway itself answers.
    pub(crate) upstream: Option<&'a UpstreamHandle>,
    /// `/package.Service/Method`; `None` for the gateway's own pages.
    pub(crate) path: Option<&'a str>,
    /// `None` where no descriptor has the method.
    pub(crate) method: Option<&'a MethodPlan>,
    /// The path template of the JSON API.
    pub(crate) route: Option<&'a str>,
}

// === impl RequestInfo ===

impl<'a> RequestInfo<'a> {
    pub(crate) fn new(head: &'a Parts, callee: Callee<'a>) -> Self {
        Self { head, callee }
    }

    /// The headers, as the client sent them but for `x-forwarded-*` and `forwarded`, which only
    /// trusted proxies set, and for credentials, which authentication takes unless they are
    /// forwarded. The bearer token of a WebSocket's subprotocol is in `authorization`.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.head.headers
    }

    /// The HTTP method. For a WebSocket, that of the route.
    pub fn http_method(&self) -> &'a Method {
        &self.head.method
    }

    /// Path and query, as the client sent them.
    pub fn uri(&self) -> &'a Uri {
        &self.head.uri
    }

    /// The address of the client: the last one on the way here that no trusted proxy has.
    pub fn client_address(&self) -> Option<IpAddr> {
        let client = self.head.extensions.get::<ClientAddress>();
        client.map(|client| client.address)
    }

    /// The caller, if it has proven who it is.
    pub fn identity(&self) -> Option<&'a Arc<Identity>> {
        self.head.extensions.get()
    }

    /// The called method as `/package.Service/Method`; `None` for the gateway's own pages.
    pub fn rpc_method(&self) -> Option<&'a str> {
        self.callee.path
    }

    /// The path template of the JSON API or of the page; `None` for the RPC protocols.
    pub fn route(&self) -> Option<&'a str> {
        self.callee.route
    }

    /// The configured name of the upstream; `None` where the gateway itself answers.
    pub fn upstream(&self) -> Option<&'a str> {
        self.callee.upstream.map(UpstreamHandle::name)
    }

    /// Whether the contract declares the method free of side effects (`option idempotency_level =
    /// NO_SIDE_EFFECTS`).
    pub fn has_no_side_effects(&self) -> bool {
        let level = self.callee.method.map(MethodPlan::idempotency);
        level == Some(Idempotency::NoSideEffects)
    }
}
