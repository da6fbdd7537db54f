//! Rejects ambiguous requests (request smuggling) before anything parses them.

pub(crate) mod hosts;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use tonic::body::Body;

use crate::settings::ListenerSettings;

#[cfg(test)]
mod tests;

/// Status and reason of a rejected request.
#[derive(Debug, PartialEq, Eq)]
struct Rejection(StatusCode, &'static str);

/// The limits of a request head, and the rules against ambiguity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    max_headers: usize,
    max_target_bytes: usize,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(settings: &ListenerSettings) -> Self {
        Self {
            max_headers: settings.max_headers,
            max_target_bytes: settings.max_target_bytes,
        }
    }

    /// Returns the answer to a request that is rejected.
    ///
    /// hyper has rejected malformed framing already: contradicting lengths, a length beside a
    /// coding in HTTP/1.0, codings that don't end in `chunked`, folded lines, control characters,
    /// and connection headers of HTTP/1 in HTTP/2.
    pub(crate) fn reject<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let rejection = self.check(request).err()?;
        Some(rejection.into_response(request.version()))
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let (headers, uri) = (request.headers(), request.uri());
        let target = uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > self.max_target_bytes {
            return Err(Rejection(
                StatusCode::URI_TOO_LONG,
                "the request target is too long",
            ));
        }
        if headers.len() > self.max_headers {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Rejection(status, "too many header fields"));
        }
        // Without a target protocol (RFC 8441) it asks for a tunnel to an arbitrary host.
        if request.method() == Method::CONNECT
            && request.extensions().get::<hyper::ext::Protocol>().is_none()
        {
            return Err(Rejection(
                StatusCode::NOT_IMPLEMENTED,
                "CONNECT is not supported",
            ));
        }
        check_codings(headers)?;
        check_expectation(headers)?;
        check_host(request.version(), uri, headers)
    }
}

/// Rejects other codings than `chunked`, whose bodies would be passed on undecoded.
fn check_codings(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Rejection(
            StatusCode::NOT_IMPLEMENTED,
            "`transfer-encoding` must be `chunked`, once (RFC 9112 §6.1)",
        )),
    }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Rejection> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) {
        return Ok(());
    }
    let status = StatusCode::EXPECTATION_FAILED;
    Err(Rejection(
        status,
        "`expect` must be `100-continue` (RFC 9110 §10.1.1)",
    ))
}

/// Requires one host, given once or twice alike (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Rejection(BAD, "more than one `host`"));
    }
    let host = host
        .map(HeaderValue::as_bytes)
        .filter(|host| !host.is_empty());
    let named: Option<Authority> = match host.map(Authority::try_from).transpose() {
        Ok(named) => named,
        Err(_) => return Err(Rejection(BAD, "`host` is malformed")),
    };
    if named.as_ref().is_some_and(has_user) || uri.authority().is_some_and(has_user) {
        return Err(Rejection(BAD, "`host` must not contain a user"));
    }
    match (uri.authority(), named) {
        (Some(target), Some(host)) if *target != host => {
            Err(Rejection(BAD, "`host` differs from the request target's"))
        }
        (None, None) if version == Version::HTTP_11 && !headers.contains_key(HOST) => {
            Err(Rejection(BAD, "`host` is missing"))
        }
        _ => Ok(()),
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// Returns a response of plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

// === impl Rejection ===

impl Rejection {
    fn into_response(self, version: Version) -> Response<Body> {
        let Self(status, reason) = self;
        let mut response = plain(status, Bytes::from(format!("{reason}\n")));
        if version < Version::HTTP_2 {
            // The next bytes of the connection may be meant as a part of this request.
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
