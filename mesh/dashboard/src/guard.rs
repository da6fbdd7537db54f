//! Checks who asks: the host that a request names, the page that it comes from, and the operator's
//! token.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use subtle::ConstantTimeEq;

/// Fetch Metadata Request Headers, §2.3: browsers say where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The checks of one dashboard.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: [String; 3],
    token: String,
}

/// A refused request: the status, and what the caller can do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

// === impl Guard ===

impl Guard {
    /// Creates the checks of a dashboard at `address`.
    pub(crate) fn new(address: SocketAddr, token: String) -> Self {
        let port = address.port();
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        Self { hosts, token }
    }

    /// Checks any request. A foreign page that has made its own name resolve to this machine (DNS
    /// rebinding) sends that name as the host.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let host = one(&request.headers, &HOST).filter(|host| self.is_host(host));
        let named = request.uri.authority();
        if host.is_none() || named.is_some_and(|named| !self.is_host(named.as_str())) {
            let message = format!("open the dashboard as http://{}", self.hosts[0]);
            return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, message));
        }
        let site = request.headers.get(SEC_FETCH_SITE);
        let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
        // A link from elsewhere may lead to the page, but nothing else.
        if is_foreign && request.uri.path() != "/" {
            return Err(Refusal::foreign());
        }
        match request.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => self.check_origin(request),
        }
    }

    /// Checks a request that changes something, or reads a payload.
    pub(crate) fn check_operator(&self, request: &Parts) -> Result<(), Refusal> {
        self.check_origin(request)?;
        // A form of a foreign page can't send this type.
        let json = request.headers.get(CONTENT_TYPE);
        if json.is_none_or(|json| json != "application/json") {
            let message = "send `content-type: application/json`".to_owned();
            return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let given = one(&request.headers, &AUTHORIZATION);
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        let is_right =
            given.is_some_and(|given| given.as_bytes().ct_eq(self.token.as_bytes()).into());
        if is_right {
            return Ok(());
        }
        let message = "enter the operator's token; `mesh dashboard` says where it is".to_owned();
        Err(Refusal(StatusCode::UNAUTHORIZED, message))
    }

    fn check_origin(&self, request: &Parts) -> Result<(), Refusal> {
        let host = one(&request.headers, &HOST);
        let origin = one(&request.headers, &ORIGIN);
        let origin = origin.and_then(|origin| origin.strip_prefix("http://"));
        match origin.is_some() && origin == host {
            true => Ok(()),
            false => Err(Refusal::foreign()),
        }
    }

    fn is_host(&self, name: &str) -> bool {
        self.hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(name))
    }
}

// === impl Refusal ===

impl Refusal {
    fn foreign() -> Self {
        let message = "only the dashboard's own page may ask for this".to_owned();
        Self(StatusCode::FORBIDDEN, message)
    }
}

/// Returns the value of a header that occurs once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const ADDRESS: &str = "127.0.0.1:20001";

    fn guard() -> Guard {
        Guard::new(ADDRESS.parse().unwrap(), "secret".to_owned())
    }

    fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(checked: Result<(), Refusal>) -> Option<u16> {
        checked.err().map(|refusal| refusal.0.as_u16())
    }

    #[test]
    fn a_rebound_host_is_refused_for_reads_too() {
        let read = |headers: &[(&str, &str)]| {
            status(guard().check(&request(Method::GET, "/api/processes", headers)))
        };
        for host in [ADDRESS, "localhost:20001", "LOCALHOST:20001", "[::1]:20001"] {
            assert_eq!(read(&[("host", host)]), None, "{host}");
        }
        for host in [
            "rebound.example:20001",
            "127.0.0.1",
            "127.0.0.1:20002",
            "localhost.example:20001",
        ] {
            assert_eq!(read(&[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(read(&[]), Some(421));
        assert_eq!(read(&[("host", ADDRESS), ("host", ADDRESS)]), Some(421));
        let absolute = request(Method::GET, "http://rebound.example/", &[("host", ADDRESS)]);
        assert_eq!(status(guard().check(&absolute)), Some(421));
    }

    #[test]
    fn a_foreign_page_reads_nothing_and_changes_nothing() {
        let host = ("host", ADDRESS);
        let site = |site, path| {
            let headers = [host, ("sec-fetch-site", site)];
            status(guard().check(&request(Method::GET, path, &headers)))
        };
        assert_eq!(site("same-origin", "/api/traces"), None);
        assert_eq!(site("cross-site", "/"), None);
        for foreign in ["cross-site", "same-site"] {
            assert_eq!(site(foreign, "/api/traces"), Some(403));
        }
        let post = |headers: &[(&str, &str)]| {
            let headers = [
                &[
                    host,
                    ("authorization", "Bearer secret"),
                    ("content-type", "application/json"),
                ],
                headers,
            ]
            .concat();
            let request = request(Method::POST, "/api/desk/act", &headers);
            let (any, operator) = (guard().check(&request), guard().check_operator(&request));
            assert_eq!(any, operator);
            status(operator)
        };
        assert_eq!(post(&[("origin", "http://127.0.0.1:20001")]), None);
        for origin in [
            "http://localhost:20001",
            "https://127.0.0.1:20001",
            "http://attacker.example",
            "null",
        ] {
            assert_eq!(post(&[("origin", origin)]), Some(403), "{origin}");
        }
        assert_eq!(post(&[]), Some(403));
    }

    #[test]
    fn a_missing_or_wrong_token_is_refused() {
        let post = |headers: &[(&str, &str)]| {
            let own = [("host", ADDRESS), ("origin", "http://127.0.0.1:20001")];
            let headers = [&own, headers].concat();
            status(guard().check_operator(&request(Method::POST, "/api/desk/act", &headers)))
        };
        let json = ("content-type", "application/json");
        assert_eq!(post(&[json, ("authorization", "Bearer secret")]), None);
        for token in ["Bearer secreT", "Bearer ", "secret", "Bearer secret "] {
            assert_eq!(
                post(&[json, ("authorization", token)]),
                Some(401),
                "{token}"
            );
        }
        assert_eq!(post(&[json]), Some(401));
        let form = ("content-type", "text/plain");
        assert_eq!(post(&[form, ("authorization", "Bearer secret")]), Some(415));
    }
}
