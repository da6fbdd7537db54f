//! Which requests are none: what two readers of HTTP could read differently is refused before anything looks at it.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use tonic::body::Body;

use crate::settings::ListenerSettings;

#[cfg(test)]
mod tests;

/// Why a request is refused, in words for its sender.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

/// What the head of a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    max_headers: usize,
    max_target_bytes: usize,
}

// === impl Bounds ===

impl Bounds {
    pub(crate) fn new(settings: &ListenerSettings) -> Self {
        Self {
            max_headers: settings.max_headers,
            max_target_bytes: settings.max_target_bytes,
        }
    }

    /// The answer to a request that is refused.
    ///
    /// hyper has read the framing: two lengths that differ, a length beside a coding in HTTP/1.0, codings that don't end in
    /// `chunked`, folded lines, control characters, and the connection headers of HTTP/1 in HTTP/2 did not get here.
    pub(crate) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let refusal = self.check(request).err()?;
        Some(refusal.into_response(request.version()))
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let (headers, uri) = (request.headers(), request.uri());
        let target = uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > self.max_target_bytes {
            return Err(Refusal(
                StatusCode::URI_TOO_LONG,
                "the request target is too long",
            ));
        }
        if headers.len() > self.max_headers {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Refusal(status, "there are too many header fields"));
        }
        // Without a target protocol (RFC 8441) it asks for a tunnel to anywhere.
        if request.method() == Method::CONNECT
            && request.extensions().get::<hyper::ext::Protocol>().is_none()
        {
            return Err(Refusal(
                StatusCode::NOT_IMPLEMENTED,
                "CONNECT is for proxies",
            ));
        }
        check_codings(headers)?;
        check_expectation(headers)?;
        check_host(request.version(), uri, headers)
    }
}

/// Only `chunked` is decoded; a body in any other coding would be passed on as if it were plain.
fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal(
            StatusCode::NOT_IMPLEMENTED,
            "`transfer-encoding` can only be `chunked`, once (RFC 9112 §6.1)",
        )),
    }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) {
        return Ok(());
    }
    let status = StatusCode::EXPECTATION_FAILED;
    Err(Refusal(
        status,
        "`expect` can only be `100-continue` (RFC 9110 §10.1.1)",
    ))
}

/// One host, said once or twice the same (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal(BAD, "there is more than one `host`"));
    }
    let host = host
        .map(HeaderValue::as_bytes)
        .filter(|host| !host.is_empty());
    let named: Option<Authority> = match host.map(Authority::try_from).transpose() {
        Ok(named) => named,
        Err(_) => return Err(Refusal(BAD, "`host` is malformed")),
    };
    if named.as_ref().is_some_and(has_user) || uri.authority().is_some_and(has_user) {
        return Err(Refusal(BAD, "a host has no user"));
    }
    match (uri.authority(), named) {
        (Some(target), Some(host)) if *target != host => Err(Refusal(
            BAD,
            "`host` is another one than the request target's",
        )),
        (None, None) if version == Version::HTTP_11 && !headers.contains_key(HOST) => {
            Err(Refusal(BAD, "`host` is missing"))
        }
        _ => Ok(()),
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

// === impl Refusal ===

impl Refusal {
    fn into_response(self, version: Version) -> Response<Body> {
        let Self(status, reason) = self;
        let text = Bytes::from(format!("{reason}\n"));
        let mut response = Response::new(Body::new(Full::new(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        if version < Version::HTTP_2 {
            // What follows on the connection may be meant as a part of this request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
