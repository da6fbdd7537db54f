//! Requests that a page of another origin makes a browser send (cross-site request forgery).
//!
//! CORS does not keep a browser from sending what a form could send, with the user's cookies,
//! certificate and network; it only hides the answer.

use http::header::{HeaderName, ORIGIN};
use http::request::Parts;
use http::{Method, Uri};

use crate::Cors;

/// The relation of a page to the request that it sends (Fetch Metadata §2.3).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme, host and port of an origin (RFC 6454 §4).
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    /// `None` for the scheme's own.
    port: Option<u16>,
}

/// Checks a request that may change something: one of a browser must come from the origin `own`,
/// from the user, or from an origin that CORS allows. Programs that are no browsers send neither
/// `sec-fetch-site` nor `origin`.
///
/// # Errors
/// The page's origin, which may not send it.
pub fn check_site(
    head: &Parts,
    own: impl FnOnce() -> Option<String>,
    cors: Option<&Cors>,
) -> Result<(), String> {
    if is_safe(&head.method) {
        return Ok(());
    }
    let (site, origin) = (head.headers.get(SITE), head.headers.get(ORIGIN));
    let text = origin.map(|origin| origin.to_str().unwrap_or_default());
    let is_own = match (site, text) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => is_own_host(origin, own().as_deref()),
        (None, None) => true,
    };
    if is_own || cors.is_some_and(|cors| cors.allows(origin)) {
        return Ok(());
    }
    Err(text.unwrap_or("an unknown origin").to_owned())
}

/// Returns whether an origin is `own`, the one that was asked. The scheme of a page behind a proxy
/// with TLS is known if the proxy is trusted.
pub fn is_own(origin: &str, own: Option<&str>) -> bool {
    let own = own.and_then(Origin::parse);
    own.is_some() && Origin::parse(origin) == own
}

/// [`is_own`], where a proxy with TLS need not be trusted: its pages have the same host, and seem
/// to have another scheme. A page without TLS is never that of a gateway with it.
fn is_own_host(origin: &str, own: Option<&str>) -> bool {
    let (Some(own), Some(origin)) = (own.and_then(Origin::parse), Origin::parse(origin)) else {
        return false;
    };
    (own.host, own.port) == (origin.host, origin.port)
        && (own.scheme == origin.scheme || own.scheme == "http")
}

/// The methods that change nothing (RFC 9110 §9.2.1), and the handshake of a WebSocket, which
/// checks its origin itself.
fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::CONNECT
    )
}

// === impl Origin ===

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = if scheme == "https" { 443 } else { 80 };
        Some(Self {
            scheme,
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16().filter(|port| *port != default),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refused(method: Method, url: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let origin = || {
            let uri = &head.uri;
            Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
        };
        check_site(&head, origin, None).is_err()
    }

    #[test]
    fn a_page_sends_to_its_own_origin() {
        for (url, origin, expected) in [
            ("http://shop.example/x", "http://shop.example", false),
            ("http://Shop.example:80/x", "http://shop.example", false),
            ("http://shop.example/x", "https://shop.example", false),
            ("https://shop.example/x", "https://shop.example:443", false),
            ("https://shop.example/x", "http://shop.example", true),
            ("http://shop.example/x", "http://shop.example:81", true),
            ("http://shop.example/x", "http://a.shop.example", true),
            (
                "http://shop.example/x",
                "http://shop.example.evil.test",
                true,
            ),
            ("http://shop.example/x", "null", true),
            ("http://shop.example/x", "", true),
            ("/x", "http://shop.example", true),
        ] {
            let found = refused(Method::POST, url, &[("origin", origin)]);
            assert_eq!(found, expected, "{url} from {origin}");
        }
    }

    #[test]
    fn the_browsers_word_counts_before_the_origin() {
        let evil = ("origin", "https://evil.example");
        for (site, expected) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("", true),
        ] {
            let headers = [evil, ("sec-fetch-site", site)];
            let found = refused(Method::POST, "http://shop.example/x", &headers);
            assert_eq!(found, expected, "{site}");
        }
        let own = [
            ("origin", "http://a.test"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(refused(Method::POST, "http://a.test/x", &own));
        assert!(!refused(Method::POST, "http://a.test/x", &[]));
    }

    #[test]
    fn what_changes_nothing_may_come_from_anywhere() {
        let headers = [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        for (method, expected) in [
            (Method::GET, false),
            (Method::HEAD, false),
            (Method::OPTIONS, false),
            (Method::POST, true),
            (Method::PUT, true),
            (Method::PATCH, true),
            (Method::DELETE, true),
            (Method::from_bytes(b"get").unwrap(), true),
        ] {
            let found = refused(method.clone(), "http://a.test/x", &headers);
            assert_eq!(found, expected, "{method}");
        }
    }
}
