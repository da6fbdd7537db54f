//! Connect: unary calls as plain HTTP, by POST or GET, and streams of enveloped messages; each becomes a call of gRPC and its
//! response is turned back (connectrpc.com/docs/protocol).

mod answer;
mod end;
mod error;
mod get;
mod metadata;

use std::sync::Arc;

use bytes::Bytes;
use chassis::error::Fault;
use chassis::{observe, stalled};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use http::{Method, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use transcoder::{Idempotency, MethodPlan};

use crate::call::{self, FRAME_HEADER_BYTES};
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::frames::too_large;
use crate::gateway::Gateway;
use crate::protocol::{CONNECT_VERSION, Codec, is_unary};
use crate::{messages, native};

use answer::Answer;

/// Encodings of the messages of a stream.
const STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const STREAM_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

const UNARY_TYPES: &str = "`application/proto` and `application/json` are";
const STREAM_TYPES: &str = "`application/connect+proto` and `application/connect+json` are";

/// Answers a unary call; a failure has its own HTTP status, and JSON that names code, message and details.
pub(crate) async fn unary(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    codec: Codec,
    request: Request<Body>,
) -> Response<Body> {
    if let Err(failure) = check_shape(catalog, request.uri().path(), true, request.headers()) {
        return failure.plain();
    }
    let answered = async {
        let (head, body) = request.into_parts();
        check_version(&head.headers)?;
        let deadline = gateway.edge().deadline(&head.headers)?;
        let message = call::within(deadline, read(gateway, body)).await?;
        let request = Request::from_parts(head, ());
        call_unary(gateway, catalog, codec, deadline, request, message).await
    };
    answered
        .await
        .unwrap_or_else(|failure| refuse(gateway, catalog, failure))
}

/// Answers a unary call of a method that has no side effects.
pub(crate) async fn get(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    request: Request<Body>,
) -> Response<Body> {
    let method = catalog.schema.method(request.uri().path());
    if method.is_some_and(|method| !takes_get(method)) {
        return mismatch(catalog, &request);
    }
    let answered = async {
        let (mut head, _) = request.into_parts();
        let asked = get::parse(head.uri.query().unwrap_or_default())?;
        let max_bytes = gateway.max_request_bytes();
        if asked.message.len() > max_bytes {
            return Err(too_large(asked.message.len(), max_bytes).into());
        }
        if let Some(coding) = asked.compression {
            head.headers.insert(CONTENT_ENCODING, coding);
        }
        head.method = Method::POST;
        head.uri = head.uri.path().parse().unwrap_or_default();
        let deadline = gateway.edge().deadline(&head.headers)?;
        let request = Request::from_parts(head, ());
        call_unary(
            gateway,
            catalog,
            asked.codec,
            deadline,
            request,
            asked.message,
        )
        .await
    };
    answered
        .await
        .unwrap_or_else(|failure| refuse(gateway, catalog, failure))
}

/// Answers a call with enveloped messages; a failure is the last message of a response that is always 200.
pub(crate) async fn stream(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    codec: Codec,
    request: Request<Body>,
) -> Response<Body> {
    if codec == Codec::Unknown || request.method() != Method::POST {
        return mismatch(catalog, &request);
    }
    if let Err(failure) = check_shape(catalog, request.uri().path(), false, request.headers()) {
        return failure.plain();
    }
    let answered = async {
        check_version(request.headers())?;
        let deadline = gateway.edge().deadline(request.headers())?;
        let request = stream_into_grpc(request);
        native::forward(gateway, catalog, codec, deadline, request).await
    };
    let response = answered
        .await
        .unwrap_or_else(|failure| native::trailers_only(gateway, failure.status));
    end::from_grpc(response, codec, catalog.clone())
}

/// Answers a request for a method's path that is no call: another HTTP method, or another content type.
pub(crate) fn mismatch(catalog: &Catalog, request: &Request<Body>) -> Response<Body> {
    let method = catalog.schema.method(request.uri().path());
    let failure = if request.method() != Method::POST {
        let allowed = match method {
            Some(method) if takes_get(method) => "GET, POST",
            _ => "POST",
        };
        Failure::method_not_allowed(request.method(), allowed)
    } else {
        let types = if method.is_none_or(is_unary) {
            UNARY_TYPES
        } else {
            STREAM_TYPES
        };
        unsupported(request.headers(), types)
    };
    failure.plain()
}

/// The response to a unary call that the gateway itself refuses.
fn refuse(gateway: &Gateway, catalog: &Catalog, mut failure: Failure) -> Response<Body> {
    // No head and no trailer of gRPC says it here.
    observe::current().code(failure.status.code());
    failure.status = gateway.own_error(failure.status);
    error::respond(failure, &catalog.schema)
}

/// A call with one message in, in the form of gRPC, and its response turned back.
async fn call_unary(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    codec: Codec,
    deadline: Option<Instant>,
    request: Request<()>,
    message: Bytes,
) -> Result<Response<Body>, Failure> {
    let request = unary_into_grpc(request, message)?;
    let response = native::forward(gateway, catalog, codec, deadline, request).await?;
    let answer = Answer::read(response).await?;
    Ok(answer.respond(codec, catalog))
}

fn unary_into_grpc(request: Request<()>, message: Bytes) -> Result<Request<Body>, Failure> {
    let (mut head, ()) = request.into_parts();
    let headers = &mut head.headers;
    let coding = headers
        .remove(CONTENT_ENCODING)
        .filter(|coding| coding != "identity");
    let mut frame = call::begin_frame();
    // Nothing at all is never compressed ("Unary-Request").
    frame[0] = u8::from(coding.is_some() && !message.is_empty());
    frame.extend_from_slice(&message);
    rename(headers, &ACCEPT_ENCODING, messages::ACCEPT_ENCODING);
    if let Some(coding) = coding {
        headers.insert(messages::ENCODING, coding);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let body = call::one_frame(call::end_frame(frame)?);
    Ok(Request::from_parts(head, body))
}

fn stream_into_grpc(request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    let headers = &mut head.headers;
    rename(headers, &STREAM_ENCODING, messages::ENCODING);
    rename(headers, &STREAM_ACCEPT_ENCODING, messages::ACCEPT_ENCODING);
    // This is about the body as a whole, which the messages' own compression leaves nothing to do for.
    headers.remove(ACCEPT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Request::from_parts(head, body)
}

/// Gives a header the name that it has in the other protocol.
fn rename(headers: &mut HeaderMap, from: &HeaderName, to: &'static str) {
    headers.remove(to);
    let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
    headers.remove(from);
    for value in values {
        headers.append(to, value);
    }
}

async fn read(gateway: &Gateway, body: Body) -> Result<Bytes, Failure> {
    let max_bytes = gateway.max_request_bytes();
    let body = stalled::bound(body, gateway.body_stall_timeout());
    call::read_whole(body, max_bytes, Failure::message_too_large).await
}

fn check_version(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONNECT_VERSION) {
        Some(version) if version != "1" => Err(Failure::bad_header(CONNECT_VERSION, "`1`")),
        _ => Ok(()),
    }
}

/// A unary call of a method that streams, and the other way round, is no call of it.
fn check_shape(
    catalog: &Catalog,
    path: &str,
    calls_unary: bool,
    headers: &HeaderMap,
) -> Result<(), Failure> {
    match catalog.schema.method(path) {
        Some(method) if calls_unary && !is_unary(method) => Err(unsupported(headers, STREAM_TYPES)),
        Some(method) if !calls_unary && is_unary(method) => Err(unsupported(headers, UNARY_TYPES)),
        _ => Ok(()),
    }
}

fn takes_get(method: &MethodPlan) -> bool {
    is_unary(method) && method.idempotency() == Idempotency::NoSideEffects
}

fn unsupported(headers: &HeaderMap, types: &str) -> Failure {
    let found = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    Failure::unsupported_media_type(found.unwrap_or_default(), types)
}

/// A malformed parameter of a GET.
fn bad_parameter(name: &str, expected: &str) -> Failure {
    let message = format!("the parameter `{name}` is malformed: expected {expected}");
    Fault::invalid_argument("BAD_PARAMETER", message)
        .violation(name, expected)
        .into()
}

/// The message in a frame.
fn payload(frame: &Bytes) -> Bytes {
    frame.slice(FRAME_HEADER_BYTES..)
}
