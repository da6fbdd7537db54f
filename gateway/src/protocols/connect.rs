//! Connect: unary calls as plain HTTP, by POST or GET, and streams of enveloped messages; each
//! becomes a call of gRPC and its response is turned back (connectrpc.com/docs/protocol).

mod answer;
mod end;
mod error;
mod get;
mod metadata;

use std::sync::Arc;

use admission::Holding;
use bytes::Bytes;
use chassis::error::Fault;
use chassis::{observe, stalled};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use rpc::frame::COMPRESSED;
use tokio::time::Instant;
use tonic::body::Body;
use transcoder::{Idempotency, MethodPlan};

use super::http_failure::respond;
use super::sniff::{CONNECT_VERSION, Codec, is_unary};
use super::{MethodTarget, RpcForm, grpc, inspect};
use crate::api::Catalog;
use crate::call;
use crate::call::frame;
use crate::context::Context;
use crate::failure::Failure;

use answer::UnaryResponse;

/// Encodings of the messages of a stream.
const STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const STREAM_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

const UNARY_TYPES: &str = "`application/proto` or `application/json`";
const STREAM_TYPES: &str = "`application/connect+proto` or `application/connect+json`";

/// Finds the method of a call.
///
/// # Errors
/// The request does not call a method in the way that its kind demands, or no upstream serves the
/// method.
pub(super) fn resolve<'c>(
    form: RpcForm,
    catalog: &'c Catalog,
    head: &Parts,
) -> Result<MethodTarget<'c>, Failure> {
    let path = head.uri.path();
    let method = catalog.schema.method(path);
    let (is_call, codec) = match form {
        // The codec is in the query.
        RpcForm::ConnectGet => (method.is_none_or(takes_get), Codec::Proto),
        RpcForm::ConnectStream(codec) => {
            let is_stream = method.is_none_or(|method| !is_unary(method));
            let is_known = codec != Codec::Unknown && head.method == Method::POST;
            (is_stream && is_known, codec)
        }
        RpcForm::ConnectUnary(codec) | RpcForm::Grpc(codec) | RpcForm::GrpcWeb(_, codec) => {
            (method.is_none_or(is_unary), codec)
        }
    };
    if !is_call {
        return Err(mismatch(catalog, head));
    }
    if !matches!(form, RpcForm::ConnectGet) {
        check_version(&head.headers)?;
    }
    grpc::resolve_path(catalog, codec, path)
}

/// Answers a unary call; a failure has its own HTTP status, and JSON that names code, message and
/// details.
pub(super) async fn unary(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let answered = async {
        let (head, body) = request.into_parts();
        let holding = call::holding(&head.extensions);
        let message = call::within(deadline, read(context, body, &holding)).await?;
        let request = unary_into_grpc(head, message)?;
        call_unary(context, catalog, codec, target, deadline, request).await
    };
    answered
        .await
        .unwrap_or_else(|failure| refuse(context, catalog, failure))
}

/// Answers a unary call of a method that has no side effects.
pub(super) async fn get(
    context: &Context,
    catalog: &Arc<Catalog>,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let answered = async {
        let (mut head, _) = request.into_parts();
        let asked = get::parse(head.uri.query().unwrap_or_default())?;
        let limit = context.request_limit();
        if asked.message.len() > limit.bytes {
            return Err(limit.exceeded_by(asked.message.len()).into());
        }
        if let Some(coding) = asked.compression {
            head.headers.insert(CONTENT_ENCODING, coding);
        }
        head.method = Method::POST;
        head.uri = head.uri.path().parse().unwrap_or_default();
        let request = unary_into_grpc(head, asked.message)?;
        call_unary(context, catalog, asked.codec, target, deadline, request).await
    };
    answered
        .await
        .unwrap_or_else(|failure| refuse(context, catalog, failure))
}

/// Answers a call with enveloped messages; a failure is the last message of a response that is
/// always 200.
pub(super) async fn stream(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let request = stream_into_grpc(request);
    let method = request.uri().path().to_owned();
    let answered = grpc::forward(context, catalog, codec, target, deadline, request).await;
    let response = answered.unwrap_or_else(|failure| grpc::trailers_only(context, failure.status));
    end::from_grpc(response, codec, catalog.clone(), method)
}

/// The response to a unary call that the gateway itself refuses.
pub(super) fn refuse(context: &Context, catalog: &Catalog, mut failure: Failure) -> Response<Body> {
    if is_no_call(&failure) {
        return plain(failure);
    }
    // This response has no gRPC status that would record it.
    observe::current().code(failure.status.code());
    failure.status = context.own_error(failure.status);
    error::respond(failure, &catalog.schema)
}

/// The response to a stream that did not become a call.
pub(super) fn refuse_stream(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    failure: Failure,
) -> Response<Body> {
    if is_no_call(&failure) {
        return plain(failure);
    }
    let response = grpc::trailers_only(context, failure.status);
    end::from_grpc(response, codec, catalog.clone(), String::new())
}

/// Returns whether a request is not a valid Connect request, which plain HTTP answers (Connect
/// protocol, "Unary-Response").
fn is_no_call(failure: &Failure) -> bool {
    matches!(
        failure.http,
        Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE)
    )
}

/// Renders a failure as plain text with its HTTP status.
fn plain(failure: Failure) -> Response<Body> {
    observe::current().code(failure.status.code());
    let text = failure.status.message().to_owned().into_bytes();
    let mut response = respond(failure, text);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The failure of a request with the wrong HTTP method, content type, or kind of method.
pub(super) fn mismatch(catalog: &Catalog, head: &Parts) -> Failure {
    let method = catalog.schema.method(head.uri.path());
    if head.method != Method::POST {
        let allowed = match method {
            Some(method) if takes_get(method) => "GET, POST",
            _ => "POST",
        };
        return Failure::method_not_allowed(&head.method, allowed);
    }
    let types = if method.is_none_or(is_unary) {
        UNARY_TYPES
    } else {
        STREAM_TYPES
    };
    unsupported(&head.headers, types)
}

/// A call with one message in, in the form of gRPC, and its response turned back.
async fn call_unary(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let method = request.uri().path().to_owned();
    let response = grpc::forward(context, catalog, codec, target, deadline, request).await?;
    let answer = UnaryResponse::read(response).await?;
    if let Some(status) = answer.error() {
        catalog.learn_details(&method, status).await;
    }
    Ok(answer.respond(codec, catalog))
}

fn unary_into_grpc(mut head: Parts, message: Bytes) -> Result<Request<Body>, Failure> {
    let headers = &mut head.headers;
    let coding = headers
        .remove(CONTENT_ENCODING)
        .filter(|coding| coding != "identity");
    let mut frame = frame::begin_frame();
    // Nothing at all is never compressed ("Unary-Request").
    let is_compressed = coding.is_some() && !message.is_empty();
    let flags = if is_compressed { COMPRESSED } else { 0 };
    frame.extend_from_slice(&message);
    rename(headers, &ACCEPT_ENCODING, inspect::ACCEPT_ENCODING);
    if let Some(coding) = coding {
        headers.insert(inspect::ENCODING, coding);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let body = call::one_frame(frame::end_frame(frame, flags)?);
    Ok(Request::from_parts(head, body))
}

fn stream_into_grpc(request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    let headers = &mut head.headers;
    rename(headers, &STREAM_ENCODING, inspect::ENCODING);
    rename(headers, &STREAM_ACCEPT_ENCODING, inspect::ACCEPT_ENCODING);
    // This is about the body as a whole, which the messages' own compression leaves nothing to do
    // for.
    headers.remove(ACCEPT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Request::from_parts(head, body)
}

/// Gives a header the name that it has in the other protocol.
fn rename(headers: &mut HeaderMap, from: &HeaderName, to: HeaderName) {
    headers.remove(&to);
    let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
    headers.remove(from);
    for value in values {
        headers.append(to.clone(), value);
    }
}

async fn read(context: &Context, body: Body, holding: &Holding) -> Result<Bytes, Failure> {
    let limit = context.request_limit();
    let body = stalled::bound(body, context.body_pace());
    let too_large = || limit.exceeded("the message").into();
    call::read_whole(body, limit.bytes, too_large, holding).await
}

fn check_version(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONNECT_VERSION) {
        Some(version) if version != "1" => {
            Err(Failure::bad_header(CONNECT_VERSION.as_str(), "`1`"))
        }
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
