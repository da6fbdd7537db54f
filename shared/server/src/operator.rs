//! Access to the operators' side: by their listener, or else directly from this machine.

mod tokens;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use http::header::{HeaderName, ORIGIN, VIA};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use rpc::error::Fault;
use rpc::headers::PROCESS;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{ServiceExt, service_fn};

use crate::admission::hosts::{self, AllowedHosts};
use crate::handler::Handler;
use crate::peer::is_of_proxies;

pub use tokens::OperatorName;
pub(crate) use tokens::Tokens;

/// Extension of a request that an operator has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator;

/// The prefix of operator pages.
pub const OPERATOR_PREFIX: &str = "/-/";

/// Operator pages without the prefix.
const OPERATOR_PATHS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// The relation of a page to the request that it sends (Fetch Metadata §2.3).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The caches that a request has passed (RFC 8586).
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Returns the handler of the operators' listener, which serves operator pages only.
///
/// `services` are the gRPC services of the operators' side, reflection included.
pub(crate) fn only(
    handler: Handler,
    allowed: AllowedHosts,
    services: Arc<HashSet<&'static str>>,
) -> Handler {
    Handler::new(service_fn(move |mut request: Request<Incoming>| {
        let handler = handler.clone();
        let is_theirs = is_internal(&request) || services.contains(service_name(&request));
        let is_page = OPERATOR_PATHS.contains(&request.uri().path())
            || (is_theirs && is_of_no_page(&request, &allowed));
        async move {
            if !is_page {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                return Ok::<_, Infallible>(response);
            }
            request.extensions_mut().insert(Operator);
            handler.oneshot(request).await
        }
    }))
}

/// Marks requests of the public listener that come from this machine, under a host that only this
/// machine has, and through no proxy, unless operators have their own listener.
///
/// `services` are the gRPC services that only operators may call. A call of another service, such
/// as reflection, is theirs if it names a process.
pub(crate) fn mark<B>(
    request: &mut Request<B>,
    has_own_listener: bool,
    services: &HashSet<&'static str>,
) {
    let is_theirs = (is_internal(request) || services.contains(service_name(request)))
        && !has_own_listener
        && is_from_this_machine(request);
    if is_theirs {
        request.extensions_mut().insert(Operator);
    }
}

/// Returns whether a request comes from this machine, under a host that only this machine has,
/// through no proxy, and was not sent by a browser for a page of another origin.
pub fn is_from_this_machine<B>(request: &Request<B>) -> bool {
    is_local(request)
        && hosts::named(request).is_some_and(|host| hosts::is_loopback(&host))
        && !is_forwarded(request.headers())
        && !is_of_other_page(request.headers())
}

fn is_internal<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(OPERATOR_PREFIX) || request.headers().contains_key(PROCESS)
}

/// Returns the refusal of a call that names another process.
pub(crate) fn misdirected(headers: &HeaderMap, process: &str) -> Option<Fault> {
    let other = headers
        .get_all(PROCESS)
        .iter()
        .find(|name| *name != process)?;
    let message = format!("this is process {process}, not {other:?}");
    Some(Fault::not_found("OTHER_PROCESS", message))
}

/// Returns the service of a call: `orders.v1.OrderService` of `/orders.v1.OrderService/GetOrder`.
pub(crate) fn service_name<B>(request: &Request<B>) -> &str {
    service_of(request.uri().path())
}

/// Returns the service of the path of a method.
pub(crate) fn service_of(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}

fn is_local<B>(request: &Request<B>) -> bool {
    let connection = request.extensions().get::<TcpConnectInfo>();
    let peer = connection.and_then(TcpConnectInfo::remote_addr);
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let mut names = headers.keys();
    names.any(|name| *name == VIA || *name == CDN_LOOP || is_of_proxies(name.as_str()))
}

/// Returns whether a request of the operators' listener is none that a browser sends for a page: of
/// another origin, or of a name that its owner has pointed to this address (DNS rebinding).
fn is_of_no_page<B>(request: &Request<B>, allowed: &AllowedHosts) -> bool {
    let is_safe = |host: &str| {
        hosts::is_loopback(host) || hosts::address(host).is_some() || allowed.contain(host)
    };
    hosts::named(request).is_some_and(|host| is_safe(&host)) && !is_of_other_page(request.headers())
}

/// Returns whether a page of another origin has made a browser send this request. Pages send no
/// `Origin` when they read from their own.
fn is_of_other_page(headers: &HeaderMap) -> bool {
    let site = headers.get(SITE);
    headers.contains_key(ORIGIN) || site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const OWN: [(&str, &str); 1] = [("host", "localhost:8080")];

    /// Returns whether a request for an operator page from this address, with these headers, is
    /// an operator's.
    fn is_marked(peer: &str, headers: &[(&str, &str)]) -> bool {
        is_path_marked("/-/explain", peer, headers)
    }

    fn is_path_marked(path: &str, peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let connection = TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(peer),
        };
        let mut request = request.extension(connection).body(()).unwrap();
        mark(&mut request, false, &HashSet::from(["ops.v1.Desk"]));
        request.extensions().get::<Operator>().is_some()
    }

    #[test]
    fn calls_are_of_operators_by_their_service_or_by_naming_a_process() {
        let local = |path, headers: &[(&str, &str)]| is_path_marked(path, "127.0.0.1", headers);
        let named = [OWN[0], ("mesh-process", "orders")];
        assert!(local("/ops.v1.Desk/List", &OWN));
        assert!(!local("/grpc.reflection.v1.ServerReflection/Info", &OWN));
        assert!(local("/grpc.reflection.v1.ServerReflection/Info", &named));
        assert!(!local("/orders.v1.Orders/Get", &OWN));
        for path in ["/ops.v1.Desk/List", "/orders.v1.Orders/Get"] {
            assert!(!is_path_marked(path, "203.0.113.7", &named), "{path}");
        }
    }

    #[test]
    fn an_operator_calls_from_this_machine_by_its_own_name() {
        for host in ["localhost", "127.0.0.1:80", "[::1]:80", "a.localhost"] {
            assert!(is_marked("127.0.0.1", &[("host", host)]), "{host}");
            assert!(is_marked("::1", &[("host", host)]), "{host}");
            assert!(!is_marked("203.0.113.7", &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
            assert!(!is_marked("127.0.0.1", &[("host", host)]), "{host}");
        }
        assert!(!is_marked("127.0.0.1", &[]));
    }

    #[test]
    fn a_proxy_on_this_machine_is_no_operator() {
        for name in [
            "forwarded",
            "via",
            "cdn-loop",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x_forwarded_for",
            "x-real-ip",
            "x-envoy-external-address",
            "true-client-ip",
        ] {
            let headers = [OWN[0], (name, "203.0.113.7")];
            assert!(!is_marked("127.0.0.1", &headers), "{name}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_no_operator() {
        for (name, value, expected) in [
            ("origin", "https://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
        ] {
            let marked = is_marked("127.0.0.1", &[OWN[0], (name, value)]);
            assert_eq!(marked, expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_listener_of_operators_has_addresses_and_listed_names() {
        let allowed = AllowedHosts::new(&["ops.internal".to_owned()]);
        for (host, expected) in [
            ("10.0.0.7:9090", true),
            ("localhost:9090", true),
            ("ops.internal", true),
            ("evil.example", false),
        ] {
            let request = Request::get("/-/explain").header("host", host);
            let request = request.body(()).unwrap();
            assert_eq!(is_of_no_page(&request, &allowed), expected, "{host}");
        }
    }

    #[test]
    fn who_is_not_known_is_no_operator() {
        let request = Request::get("/-/explain").header("host", "localhost");
        let mut request = request.body(()).unwrap();
        mark(&mut request, false, &HashSet::new());
        assert!(request.extensions().get::<Operator>().is_none());
    }
}
