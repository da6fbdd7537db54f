//! The opening handshake of a WebSocket: RFC 6455 §4.2 over HTTP/1.1, RFC 8441 over HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::ext::Protocol;
use rpc::headers::list;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tonic::body::Body;

use crate::failure::Failure;
use crate::policy::client_address;

const WEBSOCKET: &str = "websocket";
/// The only version there is (RFC 6455 §4.4).
const VERSION: &str = "13";
/// The subprotocol by which a browser, which can set no other header, names its token: `bearer,
/// <token>`.
const BEARER: &str = "bearer";

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked_for(head: &Parts) -> bool {
    is_extended_connect(&head.method, &head.extensions)
        || (head.method == Method::GET
            && list(&head.headers, UPGRADE).any(|one| one.eq_ignore_ascii_case(WEBSOCKET))
            && list(&head.headers, CONNECTION).any(|one| one.eq_ignore_ascii_case("upgrade")))
}

/// Checks that a request opens a WebSocket, for a page that may.
///
/// # Errors
/// Another version, an origin that may not connect, a malformed key, or a body.
pub(super) fn check(head: &Parts, allowed_origins: &[String]) -> Result<(), Failure> {
    let headers = &head.headers;
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != VERSION)
    {
        return Err(Failure::upgrade_required(SEC_WEBSOCKET_VERSION, VERSION));
    }
    check_origin(head, allowed_origins)?;
    if !is_extended_connect(&head.method, &head.extensions) && key(headers).is_none() {
        let expected = "16 bytes in base64 (RFC 6455 §4.1)";
        return Err(Failure::bad_header("sec-websocket-key", expected));
    }
    check_body(head)
}

/// The response that opens the WebSocket.
pub(super) fn accept(head: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if head.extensions.get::<Protocol>().is_none() {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
        answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        let accept = key(&head.headers).map(derive_accept_key);
        if let Some(Ok(accept)) = accept.map(HeaderValue::try_from) {
            answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
    if bearer(&head.headers).is_some() {
        let answer = response.headers_mut();
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
    }
    response
}

/// A body would be read as frames (RFC 9110 §9.3.1: content of a GET has no meaning).
fn check_body(head: &Parts) -> Result<(), Failure> {
    if is_extended_connect(&head.method, &head.extensions) {
        return Ok(());
    }
    let has_length = head
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    for (name, is_wrong) in [
        (CONTENT_LENGTH, has_length),
        (
            TRANSFER_ENCODING,
            head.headers.contains_key(TRANSFER_ENCODING),
        ),
    ] {
        if is_wrong {
            return Err(Failure::bad_header(
                name.as_str(),
                "a request without a body",
            ));
        }
    }
    Ok(())
}

fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16))
}

/// Makes the token among the subprotocols what the `authorization` header of other requests is,
/// which wins if it is there.
pub(super) fn take_bearer(head: &mut Parts) {
    let token = bearer(&head.headers).map(|token| format!("Bearer {token}"));
    if let Some(value) = token.and_then(|value| HeaderValue::try_from(value).ok()) {
        head.headers.entry(AUTHORIZATION).or_insert(value);
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let (name, token) = protocols.split_once(',')?;
    let is_token = name.trim().eq_ignore_ascii_case(BEARER) && !token.contains(',');
    is_token.then(|| token.trim())
}

/// A browser opens a WebSocket to any site and sends that site's cookies along: other than with
/// `fetch`, only the server can refuse (RFC 6455 §10.2). Programs send no origin.
fn check_origin(head: &Parts, allowed: &[String]) -> Result<(), Failure> {
    let Some(origin) = head.headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let is_allowed = allowed
        .iter()
        .any(|one| one == "*" || one.eq_ignore_ascii_case(origin));
    if is_allowed || cors::is_own(origin, client_address::origin(head).as_deref()) {
        Ok(())
    } else {
        Err(Failure::origin_refused(origin))
    }
}

fn is_extended_connect(method: &Method, extensions: &http::Extensions) -> bool {
    let protocol = extensions.get::<Protocol>();
    method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}
