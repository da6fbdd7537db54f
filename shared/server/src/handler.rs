//! The boxed service type that every listener uses.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tower::{Service, ServiceExt};

/// A boxed service: requests as hyper reads them, responses boxed once. Clones share it.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Call>);

type Call = dyn Fn(Request<Incoming>) -> ResponseFuture + Send + Sync;

type ResponseFuture = BoxFuture<'static, Result<Response<Body>, Infallible>>;

// === impl Handler ===

impl Handler {
    pub(crate) fn new<S>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Arc::new(move |request| {
            service.clone().oneshot(request).boxed()
        }))
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> ResponseFuture {
        (self.0)(request)
    }
}
