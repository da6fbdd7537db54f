//! Ends calls with UNAVAILABLE while the database is away, those in flight included.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::health::Health;
use crate::outage::unavailable;

/// A gRPC service that needs the database.
///
/// While the database is away its calls end with UNAVAILABLE (`DATABASE_UNAVAILABLE`) at once, and
/// calls in flight when an outage is noticed: a server that is frozen or unreachable would hold
/// them to their deadlines. Response streams that have begun are not ended.
#[derive(Clone, Debug)]
pub struct Guard<S> {
    service: S,
    health: Health,
}

// === impl Guard ===

impl<S> Guard<S> {
    pub(crate) fn new(service: S, health: Health) -> Self {
        Self { service, health }
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !self.health.is_available() {
            return ready(Ok(refusal())).boxed();
        }
        let mut health = self.health.clone();
        let call = self.service.call(request);
        async move {
            tokio::select! {
                biased;
                response = call => response,
                () = health.lost() => Ok(refusal()),
            }
        }
        .boxed()
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

fn refusal() -> Response<Body> {
    Status::from(unavailable()).into_http()
}
