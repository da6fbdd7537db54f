//! Limits the calls that handlers work on: as many as they answer in time, shared fairly between
//! clients.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::admission::{AdmissionSettings, Client, Hold, Limiter, Permit, Refusal};
use bytes::Bytes;
use contract::Method;
use http::{Extensions, Request, Response};
use http_body::Frame;
use rpc::deadline;
use tonic::Status;
use tonic::body::Body;

use crate::peer::Peer;

/// The limit of a server's calls. Health and reflection are not in the contract, and always served.
pub(crate) struct Overload {
    pub(crate) limiter: Limiter,
    methods: HashMap<&'static str, &'static Method>,
}

/// A response body that ends the hold on the slot.
struct HeldBody {
    source: Body,
    hold: Hold,
}

// === impl Overload ===

impl Overload {
    pub(crate) fn new(settings: &AdmissionSettings, methods: &'static [Method]) -> Self {
        let methods = methods.iter().map(|method| (method.path, method));
        Self {
            limiter: Limiter::new(settings),
            methods: methods.collect(),
        }
    }

    /// Calls the handler once there is a slot.
    pub(crate) async fn limit<F>(
        &self,
        request: Request<Body>,
        handler: impl FnOnce(Request<Body>) -> F,
    ) -> Result<Response<Body>, Infallible>
    where
        F: Future<Output = Result<Response<Body>, Infallible>>,
    {
        let Some(method) = self.methods.get(request.uri().path()) else {
            return handler(request).await;
        };
        match self.admit(request.extensions(), method).await {
            Ok(permit) => {
                let mut hold = Hold::new(permit, Some(method.kind));
                let Ok(response) = handler(request).await;
                hold.head(response.headers());
                Ok(response.map(|source| Body::new(HeldBody { source, hold })))
            }
            Err(refusal) => Ok(Status::from(refusal).into_http()),
        }
    }

    async fn admit(&self, of: &Extensions, method: &Method) -> Result<Permit, Refusal> {
        let own = of.get::<Client>().cloned();
        let of_peer = || of.get::<Peer>().map(Peer::client);
        let request = ::admission::Request {
            client: own.or_else(of_peer).unwrap_or_default(),
            criticality: method.criticality,
            deadline: deadline::current(),
            class: ::admission::Request::class_of(method.path),
        };
        self.limiter.admit(&request).await
    }
}

// === impl HeldBody ===

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.source).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.hold.frame(frame),
            Poll::Ready(Some(Err(_)) | None) => self.hold.end(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.source.size_hint()
    }
}
