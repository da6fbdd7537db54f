//! Who may see what is for the operators of a process: callers of the listener that is theirs alone, else direct ones from this machine.

use std::convert::Infallible;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{ServiceExt, service_fn};

use crate::handler::Handler;

/// Among the extensions of a request: an operator has sent it, who may see how the process works inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator;

/// What begins so is for operators only.
pub const OPERATOR_PREFIX: &str = "/-/";

/// Beside the prefix.
const OPERATOR_PATHS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// Headers by which a proxy says that it speaks for somebody else (RFC 7239, RFC 9110 §7.6.3, and their predecessors).
const FORWARDED: [&str; 5] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// The handler of the operators' own listener: they see what is theirs, and the API is elsewhere.
pub(crate) fn only(handler: Handler) -> Handler {
    Handler::new(service_fn(move |mut request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let path = request.uri().path();
            if !path.starts_with(OPERATOR_PREFIX) && !OPERATOR_PATHS.contains(&path) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                return Ok::<_, Infallible>(response);
            }
            request.extensions_mut().insert(Operator);
            handler.oneshot(request).await
        }
    }))
}

/// Marks requests of the public listener that come from this machine and through no proxy, unless operators have a listener of
/// their own.
pub(crate) fn mark<B>(request: &mut Request<B>, has_own_listener: bool) {
    let is_theirs = request.uri().path().starts_with(OPERATOR_PREFIX)
        && !has_own_listener
        && is_local(request)
        && !is_forwarded(request.headers());
    if is_theirs {
        request.extensions_mut().insert(Operator);
    }
}

fn is_local<B>(request: &Request<B>) -> bool {
    let connection = request.extensions().get::<TcpConnectInfo>();
    let peer = connection.and_then(TcpConnectInfo::remote_addr);
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_on_this_machine_is_no_operator() {
        for name in FORWARDED {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static("203.0.113.7"),
            )]);
            assert!(is_forwarded(&headers), "{name}");
        }
        assert!(!is_forwarded(&HeaderMap::new()));
    }

    #[test]
    fn who_is_not_known_is_no_operator() {
        let mut request = Request::get("/-/explain").body(()).unwrap();
        mark(&mut request, false);
        assert!(request.extensions().get::<Operator>().is_none());
    }
}
