//! Asks the processes and the gateway over HTTP, each time with a limit of time and size.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest wait for a whole answer; the replay of a long parked key takes a while.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Trace context of a trace that is not sampled: reading a mesh must not fill its list of traces.
const UNSAMPLED: (&str, &str) = (
    "traceparent",
    "00-0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d-0d0d0d0d0d0d0d0d-00",
);

/// A pool of connections.
#[derive(Clone, Debug)]
pub(crate) struct Fetch(Client<HttpConnector, Full<Bytes>>);

/// Reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0} does not respond")]
    Unreachable(SocketAddr),
    #[error("{0} did not respond within {s} s", s = TIMEOUT.as_secs())]
    Timeout(SocketAddr),
    #[error("the answer of {0} broke off, or is above {MAX_BYTES} bytes")]
    Incomplete(SocketAddr),
    #[error("no request can be made for {0}")]
    Path(String),
}

// === impl Fetch ===

impl Fetch {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and returns status and body; a body of its own is JSON.
    pub(crate) async fn send(
        &self,
        method: Method,
        address: SocketAddr,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let is_read = method == Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header(CONTENT_TYPE, "application/json");
        if is_read {
            request = request.header(UNSAMPLED.0, UNSAMPLED.1);
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|_| FetchError::Path(path.to_owned()))?;
        let exchange = async {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|_| FetchError::Unreachable(address))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            let body = body.map_err(|_| FetchError::Incomplete(address))?;
            Ok((status, body.to_bytes()))
        };
        let timed = tokio::time::timeout(TIMEOUT, exchange).await;
        timed.unwrap_or(Err(FetchError::Timeout(address)))
    }

    /// Gets a path without a token.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        path: &str,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        self.send(Method::GET, address, path, None, Bytes::new())
            .await
    }
}
