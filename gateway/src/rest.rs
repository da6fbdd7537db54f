//! The JSON API: from an HTTP request to a call, and from its response to JSON.

use std::sync::Arc;

use bytes::Bytes;
use chassis::stalled;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::body::Body;
use transcoder::{Content, Match, MethodKind, RouteError, SystemParameters};

use crate::call::{self, Call, Incoming};
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::gateway::{Gateway, name_span};
use crate::requests::Requests;
use crate::view::{JSON, View};
use crate::{edge, stream, upload};

const MESSAGE_TYPES: &str = "`application/json` is, and forms and protobuf are";

/// A request of the JSON API that has found its route.
pub(crate) struct Exchange<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) head: &'a Parts,
    pub(crate) matched: Match<'a>,
    pub(crate) parameters: SystemParameters<'a>,
    pub(crate) view: View,
}

/// Answers a request; every failure becomes a `google.rpc.Status`.
pub(crate) async fn serve(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let answered = answer(gateway, catalog, &head, body).await;
    let response = answered.unwrap_or_else(|failure| failure.into_response(&catalog.schema));
    if head.method == Method::HEAD {
        without_body(response)
    } else {
        response
    }
}

async fn answer(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    head: &Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let deadline = edge::deadline(&head.headers)?;
    let metadata = edge::metadata(&head.headers)?;
    let (matched, owner) = route(catalog, head)?;
    name_span(&head.method, &matched);
    let method = matched.method();
    let call = Call {
        upstream: gateway.directory().upstream(owner).clone(),
        path: method.path().to_owned(),
        safety: call::safety(method),
        metadata,
        deadline,
        max_message_bytes: gateway.max_message_bytes(),
    };
    let parameters = SystemParameters::of(head.uri.query());
    let exchange = Exchange {
        gateway,
        catalog,
        head,
        matched,
        view: View::new(matched.route(), &parameters)?,
        parameters,
    };
    // A rule without a body leaves path and query to say all, which is one message.
    match (method.kind(), matched.route().takes_body()) {
        (MethodKind::Unary, _) | (MethodKind::ClientStreaming, false) => {
            unary(exchange, call, body).await
        }
        (MethodKind::ServerStreaming, _) | (MethodKind::BidiStreaming, false) => {
            stream::answer(exchange, call, body).await
        }
        (MethodKind::ClientStreaming, true) => collect(exchange, call, body).await,
        (MethodKind::BidiStreaming, true) => stream::converse(exchange, call, body).await,
    }
}

fn route<'a>(catalog: &'a Catalog, head: &'a Parts) -> Result<(Match<'a>, usize), Failure> {
    let found = catalog
        .schema
        .route(&head.method, head.uri.path())
        .and_then(|matched| {
            // A file may declare services that the upstream does not register.
            let owner = catalog
                .owner(matched.method().path())
                .ok_or(RouteError::NotFound)?;
            Ok((matched, owner))
        });
    found.map_err(|error| match error {
        RouteError::NotFound if !catalog.complete => Failure::incomplete(),
        other => Failure::unrouted(other, head.uri.query()),
    })
}

async fn unary(exchange: Exchange<'_>, call: Call, body: Body) -> Result<Response<Body>, Failure> {
    exchange.check_accept()?;
    let frame = call::within(call.deadline, exchange.request_frame(body)).await?;
    exchange.view.respond(&call.unary(frame).await?)
}

/// Answers a stream of requests with the upstream's one message.
async fn collect(
    exchange: Exchange<'_>,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Failure> {
    exchange.check_accept()?;
    let incoming = exchange.request_messages(body)?;
    exchange.view.respond(&call.upload(incoming).await?)
}

impl Exchange<'_> {
    /// Whether the caller takes what a single message is answered with.
    fn check_accept(&self) -> Result<(), Failure> {
        let is_raw = self.matched.route().is_download();
        if is_raw || transcoder::accepts(&accept(&self.head.headers), JSON) {
            Ok(())
        } else {
            Err(Failure::not_acceptable(JSON))
        }
    }

    /// The messages of a request that is a stream of them, each encoded when the upstream takes it.
    pub(crate) fn request_messages(&self, body: Body) -> Result<Incoming, Failure> {
        if self.matched.route().is_upload() {
            Ok(upload::messages(self, body)?.into())
        } else {
            Requests::of(self, body)
        }
    }

    /// Reads a whole request and encodes it as one frame.
    pub(crate) async fn request_frame(&self, body: Body) -> Result<Bytes, Failure> {
        let mut frame = call::begin_frame();
        let query = self.head.uri.query();
        if self.matched.route().is_upload() {
            let content_type = content_type(&self.head.headers)?.unwrap_or_default();
            self.matched
                .encode_upload_head(query, content_type, &mut frame)?;
            self.matched
                .route()
                .encode_upload_chunk(&self.read(body).await?, &mut frame);
        } else {
            let content = content(&self.head.headers, &body)?;
            let body = self.read(body).await?;
            self.matched
                .encode_request_as(content, query, &body, &mut frame)?;
        }
        Ok(call::end_frame(frame)?)
    }

    async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        let max_bytes = self.gateway.config().max_body_bytes;
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(Failure::body_too_large(max_bytes));
        }
        let body = stalled::bound(body, self.gateway.body_stall_timeout());
        match Limited::new(body, max_bytes).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::body_too_large(max_bytes)),
            Err(error) => Err(Failure::unread(error.downcast_ref())),
        }
    }
}

/// The content type of a request, in text.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let value = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    value
        .transpose()
        .map_err(|_| Failure::bad_header("content-type", "ASCII"))
}

/// How the body is written. One without content type is taken for JSON; without a body the type says nothing.
fn content(headers: &HeaderMap, body: &Body) -> Result<Content, Failure> {
    match Content::of(content_type(headers)?.unwrap_or_default()) {
        Err(_) if body.is_end_stream() => Ok(Content::Json),
        other => {
            other.map_err(|error| Failure::unsupported_media_type(&error.found, MESSAGE_TYPES))
        }
    }
}

/// All lines of `Accept` as one.
pub(crate) fn accept(headers: &HeaderMap) -> String {
    let lines = headers.get_all(ACCEPT).iter();
    let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

/// The response to HEAD has the headers of GET, and no content (RFC 9110 §9.3.2).
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers
            .insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn content_type_matters_only_with_a_body() {
        for (content_type, expected) in [
            ("application/json; charset=utf-8", Some(Content::Json)),
            ("application/x-www-form-urlencoded", Some(Content::Form)),
            ("application/x-protobuf", Some(Content::Protobuf)),
            ("text/plain", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            let body = Body::new(Full::from("x"));
            assert_eq!(content(&headers, &body).ok(), expected, "{content_type}");
            assert!(content(&headers, &Body::empty()).is_ok());
        }
    }
}
