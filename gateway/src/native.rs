//! Native gRPC: forwarded frame by frame to the upstream that owns the service, or answered by the gateway's own reflection.

use chassis::error::Fault;
use http::header::HOST;
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt;
use transcoder::MethodKind;

use crate::catalog::Catalog;
use crate::frames::{BoundedFrames, ResponseFrames};
use crate::gateway::Gateway;
use crate::{arriving, call, edge};

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
    let streams = catalog.schema.method(path).is_none_or(|method| {
        matches!(
            method.kind(),
            MethodKind::ClientStreaming | MethodKind::BidiStreaming
        )
    });
    let deadline = edge::deadline(request.headers()).map_err(|failure| failure.status)?;
    let mut refused = Default::default();
    let mut request = request.map(|body| {
        let frames;
        (frames, refused) = BoundedFrames::new(body, gateway.max_message_bytes());
        Body::new(frames)
    });
    edge::strip_hop_by_hop(request.headers_mut());
    request.headers_mut().remove(HOST);
    request
        .headers_mut()
        .insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    let upstream = gateway.directory().upstream(owner).clone();
    let sent = if streams {
        arriving::send(upstream, request, deadline)
            .await
            .map(|(response, line)| (response, Some(line)))
    } else {
        call::send(upstream, request, deadline)
            .await
            .map(|response| (response, None))
    };
    let (response, lifeline) = sent.map_err(|status| refused.get().cloned().unwrap_or(status))?;
    Ok(response.map(|body| {
        Body::new(ResponseFrames::new(
            body,
            gateway.max_message_bytes(),
            refused,
            lifeline,
        ))
    }))
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
