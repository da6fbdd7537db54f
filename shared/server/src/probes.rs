//! Plain HTTP answers for orchestrators and scrapers: `GET /healthz`, `GET /readyz` and `GET /metrics`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::operator::Operator;
use telemetry::metrics::{Format, Metrics};

/// Answers `GET /readyz`.
pub(crate) type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the answers are made of.
pub(crate) struct Probes {
    pub(crate) ready: Ready,
    pub(crate) draining: CancellationToken,
    /// `None` where they are not shown.
    pub(crate) metrics: Option<Metrics>,
    /// Whether operators have a listener of their own, so that the public one shows no metrics.
    pub(crate) has_admin: bool,
}

impl Probes {
    /// The answer to a probe; `None` to what is none.
    ///
    /// `/healthz` is 200 while the process serves, `/readyz` while it also wants traffic; both are 503 during the drain.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let wanted = match (request.uri().path(), self.metrics(request)) {
            ("/healthz", _) => true,
            ("/readyz", _) => (self.ready)(),
            ("/metrics", Some(metrics)) => return Some(exposition(metrics, request.headers())),
            _ => return None,
        };
        Some(match (self.draining.is_cancelled(), wanted) {
            (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            (false, false) => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            (false, true) => text(StatusCode::OK, "ok\n"),
        })
    }

    fn metrics<B>(&self, request: &Request<B>) -> Option<&Metrics> {
        let is_operator = request.extensions().get::<Operator>().is_some();
        let metrics = self.metrics.as_ref();
        metrics.filter(|_| is_operator || !self.has_admin)
    }
}

fn exposition(metrics: &Metrics, headers: &HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let format = Format::negotiate(accept.unwrap_or_default());
    match metrics.encode(format) {
        Ok(text) => respond(StatusCode::OK, format.content_type(), text.into()),
        Err(error) => {
            tracing::error!(%error, "metrics not written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "metrics not written\n")
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let body = Bytes::from_static(body.as_bytes());
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
