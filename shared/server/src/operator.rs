//! Access to operator pages: by the operators' listener, or else directly from this machine.

use std::convert::Infallible;

use http::header::{HeaderName, ORIGIN, VIA};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{ServiceExt, service_fn};

use crate::admission::hosts::{self, AllowedHosts};
use crate::handler::Handler;
use crate::peer::is_of_proxies;

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
pub(crate) fn only(handler: Handler, allowed: AllowedHosts) -> Handler {
    Handler::new(service_fn(move |mut request: Request<Incoming>| {
        let handler = handler.clone();
        let is_page = OPERATOR_PATHS.contains(&request.uri().path())
            || (is_internal(&request) && is_of_no_page(&request, &allowed));
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
pub(crate) fn mark<B>(request: &mut Request<B>, has_own_listener: bool) {
    let is_theirs = is_internal(request)
        && !has_own_listener
        && is_local(request)
        && hosts::named(request).is_some_and(|host| hosts::is_loopback(&host))
        && !is_forwarded(request.headers())
        && !is_of_other_page(request.headers());
    if is_theirs {
        request.extensions_mut().insert(Operator);
    }
}

fn is_internal<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(OPERATOR_PREFIX)
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
        let mut request = Request::get("/-/explain");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let connection = TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(peer),
        };
        let mut request = request.extension(connection).body(()).unwrap();
        mark(&mut request, false);
        request.extensions().get::<Operator>().is_some()
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
        mark(&mut request, false);
        assert!(request.extensions().get::<Operator>().is_none());
    }
}
