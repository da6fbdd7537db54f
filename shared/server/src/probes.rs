//! Plain HTTP answers for orchestrators and scrapers: `GET /healthz`, `GET /readyz` and `GET
//! /metrics`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use telemetry::metrics::{Format, Metrics};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::admission::plain;
use crate::operator::Operator;

/// The page of the keys that sign the calls of this process.
const KEY_SET: &str = "/-/jwks.json";

/// The condition of `GET /readyz`.
pub(crate) type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// The state that the answers report.
pub(crate) struct Probes {
    pub(crate) ready: Ready,
    pub(crate) draining: CancellationToken,
    /// `None` if metrics are disabled.
    pub(crate) metrics: Option<Metrics>,
    /// Whether operators have their own listener, so that the public one shows no metrics.
    pub(crate) has_admin: bool,
}

impl Probes {
    /// Returns the answer to a probe; `None` for other requests.
    ///
    /// The keys of the process are for operators. `/healthz` is 200 while the process serves,
    /// `/readyz` while it also accepts traffic; both are 503 during the drain.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let wanted = match (request.uri().path(), self.metrics(request)) {
            ("/healthz", _) => true,
            ("/readyz", _) => (self.ready)(),
            (KEY_SET, _) => return key_set(request),
            ("/metrics", Some(metrics)) => return Some(exposition(metrics, request.headers())),
            _ => return None,
        };
        Some(match (self.draining.is_cancelled(), wanted) {
            (true, _) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            (false, false) => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            (false, true) => plain(StatusCode::OK, "ok\n"),
        })
    }

    fn metrics<B>(&self, request: &Request<B>) -> Option<&Metrics> {
        let is_operator = request.extensions().get::<Operator>().is_some();
        let metrics = self.metrics.as_ref();
        metrics.filter(|_| is_operator || !self.has_admin)
    }
}

/// Returns the JWK set of the process for operators, and for those who verify its calls on their
/// behalf; `None` if it signs none.
fn key_set<B>(request: &Request<B>) -> Option<Response<Body>> {
    request.extensions().get::<Operator>()?;
    let set = auth::internal::signer()?.key_set();
    Some(respond(
        StatusCode::OK,
        "application/jwk-set+json",
        set.into(),
    ))
}

fn exposition(metrics: &Metrics, headers: &HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let format = Format::negotiate(accept.unwrap_or_default());
    match metrics.encode(format) {
        Ok(text) => respond(StatusCode::OK, format.content_type(), text.into()),
        Err(error) => {
            tracing::error!(%error, "metrics not written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics not written\n")
        }
    }
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
