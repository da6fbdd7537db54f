//! The one type of all services.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tower::{Service, ServiceExt};

/// Every service of a process has this one type: requests as hyper reads them, responses boxed once. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Answer>);

type Answer = dyn Fn(Request<Incoming>) -> Answering + Send + Sync;

type Answering = BoxFuture<'static, Result<Response<Body>, Infallible>>;

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
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answering {
        (self.0)(request)
    }
}
