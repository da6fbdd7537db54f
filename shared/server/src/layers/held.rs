//! Counts the memory of calls whose request messages are not complete.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::admission::{Budget, Client, Part, Unread};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use rpc::frame::FrameMeter;
use tonic::Status;
use tonic::body::Body;

use crate::peer::Peer;

/// A request body, of whose frames the last one may be incomplete.
struct PartialFrames {
    source: Body,
    meter: FrameMeter,
    part: Part,
}

/// Calls the handler if the budget has room for the call.
pub(crate) async fn count<F>(
    budget: &Budget,
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let extensions = request.extensions();
    let own = extensions.get::<Client>().cloned();
    let of_peer = || extensions.get::<Peer>().map(Peer::client);
    let client = own.or_else(of_peer).unwrap_or_default();
    let holding = match budget.admit(&client, 0) {
        Ok(holding) => holding,
        Err(excess) => return Ok(Status::from(excess).into_http()),
    };
    let request = request.map(|source| {
        Body::new(PartialFrames {
            source,
            meter: FrameMeter::new(usize::MAX),
            part: holding.part(),
        })
    });
    let Ok(mut response) = match holding.run(handler(request)).await {
        Ok(answered) => answered,
        Err(excess) => return Ok(Status::from(excess).into_http()),
    };
    // A handler encodes the next message when there is room for it.
    let unread = Unread { holding, window: 0 };
    response.extensions_mut().insert(unread);
    Ok(response)
}

impl http_body::Body for PartialFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.source).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            // Frames of any length are valid here; the decoder has the bound.
            let _: Result<_, _> = this.meter.pass(data);
            if let Err(excess) = this.part.set(this.meter.begun_bytes()) {
                return Poll::Ready(Some(Err(excess.into())));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
