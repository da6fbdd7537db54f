//! The protocols of the gateway: detection, method lookup, responses, and the form of failures.

mod connect;
mod grpc;
mod grpc_web;
mod http_failure;
mod inspect;
mod rest;
mod sniff;
mod trailers;
mod websocket;

use std::sync::Arc;

use futures::FutureExt;
use http::request::Parts;
use http::{Request, Response, Uri};
use tokio::time::Instant;
use tonic::body::Body;
use transcoder::{Match, MethodPlan};

use crate::api::{Catalog, UpstreamHandle};
use crate::context::Context;
use crate::failure::Failure;
use crate::policy::Callee;

pub use websocket::WebSocketSettings;

pub(crate) use rest::{
    accept, answer_options, override_method, render as render_json, serve as serve_rest,
};
pub(crate) use sniff::{Codec, Protocol, label};
pub(crate) use websocket::serve as serve_websocket;

/// The media type of the JSON API.
pub(crate) const JSON: &str = "application/json";

/// A method of the JSON API, by the route that the request has taken. `'c` is the catalog's life,
/// `'h` that of the request's head.
pub(crate) struct RouteTarget<'c, 'h> {
    matched: Match<'h>,
    upstream: &'c UpstreamHandle,
}

/// A method of the RPC protocols, by its own path.
#[derive(Clone, Copy)]
pub(crate) enum MethodTarget<'c> {
    /// The gateway's own server reflection.
    Reflection,
    Upstream {
        upstream: &'c UpstreamHandle,
        /// `None` where no descriptor has the method; the upstream may know it all the same.
        plan: Option<&'c MethodPlan>,
    },
}

/// A request whose method is resolved, in the protocol that it speaks.
pub(crate) enum Resolved<'c, 'h> {
    Rest(RouteTarget<'c, 'h>),
    WebSocket(RouteTarget<'c, 'h>),
    Rpc(RpcForm, MethodTarget<'c>),
}

/// The form of a call that names its method by path.
#[derive(Clone, Copy)]
pub(crate) enum RpcForm {
    Grpc(Codec),
    GrpcWeb(grpc_web::Encoding, Codec),
    ConnectUnary(Codec),
    ConnectGet,
    ConnectStream(Codec),
}

impl Protocol {
    /// Makes the head of a request one of the JSON API where the protocol is another form of it.
    ///
    /// # Errors
    /// The handshake of a WebSocket is not one, or has no route.
    pub(crate) fn prepare(
        self,
        catalog: &Catalog,
        settings: &WebSocketSettings,
        head: &mut Parts,
    ) -> Result<(), Failure> {
        match self {
            Self::WebSocket => websocket::prepare(catalog, settings, head),
            _ => Ok(()),
        }
    }

    /// Finds the method that a request calls and the upstream that serves it, once for all that
    /// follows. It keeps a part of `uri`, that of the head, whose headers may still change.
    ///
    /// # Errors
    /// No method matches, or the protocol cannot call it in this way.
    pub(crate) fn resolve<'c, 'h>(
        self,
        catalog: &'c Catalog,
        head: &Parts,
        uri: &'h Uri,
    ) -> Result<Resolved<'c, 'h>, Failure>
    where
        'c: 'h,
    {
        let form = match self {
            Self::Rest => return rest::resolve(catalog, &head.method, uri).map(Resolved::Rest),
            Self::WebSocket => {
                return rest::resolve(catalog, &head.method, uri).map(Resolved::WebSocket);
            }
            Self::Grpc(codec) => RpcForm::Grpc(codec),
            Self::GrpcWeb(encoding, codec) => RpcForm::GrpcWeb(encoding, codec),
            Self::ConnectUnary(codec) => RpcForm::ConnectUnary(codec),
            Self::ConnectGet => RpcForm::ConnectGet,
            Self::ConnectStream(codec) => RpcForm::ConnectStream(codec),
            Self::ConnectMismatch => return Err(connect::mismatch(catalog, head)),
        };
        let target = match form {
            RpcForm::Grpc(codec) | RpcForm::GrpcWeb(_, codec) => {
                grpc::resolve(catalog, codec, head)
            }
            _ => connect::resolve(form, catalog, head),
        };
        Ok(Resolved::Rpc(form, target?))
    }

    /// The response to a request that was refused before it became a call.
    pub(crate) fn refuse(
        self,
        context: &Context,
        catalog: &Arc<Catalog>,
        head: &Parts,
        failure: Failure,
    ) -> Response<Body> {
        match self {
            Self::Rest => {
                rest::finish(context, head, rest::refuse(context, catalog, head, failure))
            }
            Self::WebSocket => rest::refuse(context, catalog, head, failure),
            Self::Grpc(codec) => grpc::refuse(context, codec, failure),
            Self::GrpcWeb(encoding, codec) => grpc_web::refuse(context, encoding, codec, failure),
            Self::ConnectUnary(_) | Self::ConnectGet | Self::ConnectMismatch => {
                connect::refuse(context, catalog, failure)
            }
            Self::ConnectStream(codec) => connect::refuse_stream(context, catalog, codec, failure),
        }
    }
}

impl<'c: 'h, 'h> Resolved<'c, 'h> {
    /// Returns the called method and its upstream, as policy sees them.
    pub(crate) fn callee(&self, head: &'h Parts) -> Callee<'h> {
        let path = head.uri.path();
        match self {
            Self::Rest(target) | Self::WebSocket(target) => Callee {
                upstream: Some(target.upstream),
                path: Some(target.matched.method().path()),
                method: Some(target.matched.method()),
                route: Some(target.matched.route().template()),
            },
            Self::Rpc(_, MethodTarget::Reflection) => Callee {
                path: Some(path),
                ..Callee::default()
            },
            Self::Rpc(_, MethodTarget::Upstream { upstream, plan }) => Callee {
                upstream: Some(upstream),
                path: Some(path),
                method: *plan,
                route: None,
            },
        }
    }
}

impl RpcForm {
    /// Answers a call that names its method by path.
    pub(crate) async fn serve(
        self,
        context: &Context,
        catalog: &Arc<Catalog>,
        target: MethodTarget<'_>,
        deadline: Option<Instant>,
        request: Request<Body>,
    ) -> Response<Body> {
        // Boxed to keep the future of gRPC small.
        match self {
            Self::Grpc(codec) => {
                grpc::serve(context, catalog, codec, target, deadline, request).await
            }
            Self::GrpcWeb(encoding, codec) => {
                grpc_web::serve(context, catalog, encoding, codec, target, deadline, request)
                    .boxed()
                    .await
            }
            Self::ConnectUnary(codec) => {
                connect::unary(context, catalog, codec, target, deadline, request)
                    .boxed()
                    .await
            }
            Self::ConnectGet => {
                connect::get(context, catalog, target, deadline, request)
                    .boxed()
                    .await
            }
            Self::ConnectStream(codec) => {
                connect::stream(context, catalog, codec, target, deadline, request)
                    .boxed()
                    .await
            }
        }
    }
}
