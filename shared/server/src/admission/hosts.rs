//! The hosts that requests name: those that are served, and those that only this machine has.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use tonic::body::Body;

use super::plain;

/// The hosts that are served; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts(Arc<[String]>);

// === impl AllowedHosts ===

impl AllowedHosts {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.into())
    }

    /// Returns the answer to a request for another host: 421 (RFC 9110 §15.5.20). Without a list
    /// there is none.
    pub(crate) fn reject<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if self.0.is_empty() || named(request).is_some_and(|host| self.contain(&host)) {
            return None;
        }
        let text = "this host is not served (`listener.allowed_hosts`)\n";
        Some(plain(StatusCode::MISDIRECTED_REQUEST, text))
    }

    pub(crate) fn contain(&self, host: &str) -> bool {
        self.0.iter().any(|name| match name.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => name == host,
        })
    }
}

/// Returns the host that a request names, in lower case, without port and final dot; an IPv6
/// address is in brackets. `None` without a host.
pub(crate) fn named<B>(request: &Request<B>) -> Option<String> {
    let of_header = || {
        let host = request.headers().get(HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    };
    let authority = request.uri().authority().cloned().or_else(of_header)?;
    let host = authority.host().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    (!host.is_empty()).then(|| host.to_owned())
}

/// Returns whether a host is this machine for every browser: an address of the loopback, or
/// `localhost` or below it (RFC 6761 §6.3). No DNS server can make another page have such a host.
pub(crate) fn is_loopback(host: &str) -> bool {
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || address(host).is_some_and(|address| address.is_loopback())
}

/// Returns the address that a host is; `None` for a name.
pub(crate) fn address(host: &str) -> Option<IpAddr> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(host) => host.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_host_has_no_port_and_one_spelling() {
        for (host, expected) in [
            ("Shop.Example:8443", Some("shop.example")),
            ("shop.example.", Some("shop.example")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
        ] {
            let request = Request::get("/").header(HOST, host).body(()).unwrap();
            assert_eq!(named(&request).as_deref(), expected, "{host}");
        }
        let absolute = Request::get("http://a.test:80/").body(()).unwrap();
        assert_eq!(named(&absolute).as_deref(), Some("a.test"));
    }

    #[test]
    fn hosts_of_this_machine() {
        for host in [
            "localhost",
            "api.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_listed_hosts_are_served() {
        let allowed = AllowedHosts::new(&hosts(&["shop.example", "*.test", "[::1]"]));
        let status = |host: &str| {
            let request = Request::get("/").header(HOST, host).body(()).unwrap();
            allowed.reject(&request).map(|answer| answer.status())
        };
        for host in [
            "shop.example",
            "SHOP.example:81",
            "a.test",
            "b.a.test",
            "[::1]:80",
        ] {
            assert_eq!(status(host), None, "{host}");
        }
        for host in [
            "",
            "a.shop.example",
            "test",
            ".test",
            "evil.example",
            "127.0.0.1",
        ] {
            assert_eq!(
                status(host),
                Some(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        let any = AllowedHosts::new(&[]);
        let request = Request::get("/").body(()).unwrap();
        assert!(any.reject(&request).is_none());
    }
}
