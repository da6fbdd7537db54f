//! Plain HTTP answers for orchestrators: `GET /healthz` and `GET /readyz`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use super::Ready;

/// Answers a probe, or passes the request on.
///
/// `/healthz` is 200 while the process serves, `/readyz` while it also wants traffic; both are 503 during the drain.
pub(super) async fn answer<S, B>(
    ready: Ready,
    draining: CancellationToken,
    inner: S,
    request: Request<B>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return inner.oneshot(request).await;
    }
    let wanted = match request.uri().path() {
        "/healthz" => true,
        "/readyz" => ready(),
        _ => return inner.oneshot(request).await,
    };
    Ok(match (draining.is_cancelled(), wanted) {
        (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, false) => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        (false, true) => text(StatusCode::OK, "ok\n"),
    })
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(body.as_bytes()))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
