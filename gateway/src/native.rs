//! Native gRPC: forwarded frame by frame to the upstream that owns the service, or answered by the gateway's own reflection.

use std::convert::Infallible;

use chassis::deadline::GRPC_TIMEOUT;
use chassis::error::Fault;
use http::header::HOST;
use http::{Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt;
use transcoder::MethodKind;

use crate::catalog::Catalog;
use crate::frames::{BoundedFrames, Cut, ResponseFrames};
use crate::gateway::Gateway;
use crate::{arriving, call, edge, stream};

/// Answers a request whose content type is gRPC's; a failure is a response without messages ("Trailers-Only").
pub(crate) async fn serve(
    gateway: &Gateway,
    catalog: &Catalog,
    request: Request<Body>,
) -> Response<Body> {
    match answer(gateway, catalog, request).await {
        Ok(response) => response,
        Err(status) => status.into_http(),
    }
}

async fn answer(
    gateway: &Gateway,
    catalog: &Catalog,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let path = request.uri().path();
    if path.starts_with("/grpc.reflection.") {
        let Ok(response) = catalog.reflection.clone().oneshot(request).await;
        return Ok(response.map(Body::new));
    }
    let Some(owner) = catalog.owner(path) else {
        return Err(unknown(catalog, path));
    };
    let method = catalog.schema.method(path);
    let kind = method.map(|method| method.kind());
    let safety = method.map(call::safety).unwrap_or_default();
    let requests_stream = matches!(
        kind,
        None | Some(MethodKind::ClientStreaming | MethodKind::BidiStreaming)
    );
    let responses_stream = matches!(
        kind,
        Some(MethodKind::ServerStreaming | MethodKind::BidiStreaming)
    );
    let deadline = gateway.edge().deadline(request.headers());
    let deadline = deadline.map_err(|failure| failure.status)?;
    let mut refused = Default::default();
    let mut request = request.map(|body| {
        let frames;
        (frames, refused) = BoundedFrames::new(body, gateway.max_message_bytes());
        Body::new(frames)
    });
    request.extensions_mut().insert(safety);
    edge::strip_hop_by_hop(request.headers_mut());
    request.headers_mut().remove(HOST);
    // The client writes its own; this one would end a call before the grace of a torn request.
    request.headers_mut().remove(GRPC_TIMEOUT);
    request
        .headers_mut()
        .insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    let upstream = gateway.directory().upstream(owner).clone();
    let sent = if requests_stream {
        arriving::send(upstream, request, deadline)
            .await
            .map(|(response, line)| (response, Some(line)))
    } else {
        call::send(upstream, request, deadline)
            .await
            .map(|response| (response, None))
    };
    let (response, lifeline) = sent.map_err(|status| refused.get().cloned().unwrap_or(status))?;
    // One message is worth waiting for; a stream may have no end of its own.
    let cut = responses_stream.then(|| -> Cut {
        let draining = gateway.draining().clone();
        Box::pin(async move { cut(&draining, deadline).await })
    });
    Ok(ResponseFrames::wrap(
        response,
        gateway.max_message_bytes(),
        refused,
        lifeline,
        cut,
    ))
}

/// Waits for the drain or the deadline, which a call with a [`crate::arriving::Lifeline`] outlives by its grace.
async fn cut(draining: &CancellationToken, deadline: Option<Instant>) -> Status {
    let drained = async {
        draining.cancelled().await;
        Err::<Infallible, Status>(stream::stopping())
    };
    let Err(status) = call::within(deadline, drained).await;
    status
}

fn unknown(catalog: &Catalog, path: &str) -> Status {
    if catalog.complete {
        Fault::new(
            Code::Unimplemented,
            "UNKNOWN_SERVICE",
            format!("no upstream serves `{path}`"),
        )
        .into()
    } else {
        crate::error::Failure::incomplete().status
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_cut_at_its_deadline_or_by_the_drain() {
        let (draining, begun) = (CancellationToken::new(), Instant::now());
        let deadline = begun + Duration::from_secs(1);
        let status = cut(&draining, Some(deadline)).await;
        assert_eq!(
            (status.code(), begun.elapsed()),
            (Code::DeadlineExceeded, Duration::from_secs(1))
        );
        draining.cancel();
        let status = cut(&draining, None).await;
        assert_eq!(status.code(), Code::Unavailable);
    }
}
