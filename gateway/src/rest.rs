//! The JSON API: from an HTTP request to a call, and from its response to JSON.

use std::sync::Arc;

use bytes::Bytes;
use chassis::error::Fault;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::Code;
use tonic::body::Body;
use transcoder::{Content, Match, MethodKind, Route, RouteError};

use crate::call::{self, Call};
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::gateway::{Gateway, name_span};
use crate::{edge, stream, upload};

const JSON: &str = "application/json";

/// A request of the JSON API that has found its route.
pub(crate) struct Exchange<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) head: &'a Parts,
    pub(crate) matched: Match<'a>,
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
        metadata,
        deadline,
        max_message_bytes: gateway.max_message_bytes(),
    };
    let exchange = Exchange {
        gateway,
        catalog,
        head,
        matched,
    };
    match method.kind() {
        MethodKind::Unary => unary(exchange, call, body).await,
        MethodKind::ServerStreaming => stream::answer(exchange, call, body).await,
        MethodKind::ClientStreaming if matched.route().is_upload() => {
            upload::answer(exchange, call, body).await
        }
        MethodKind::ClientStreaming | MethodKind::BidiStreaming => Err(Failure::not_implemented(
            "this method takes a stream of messages, which the JSON API does not carry",
        )),
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
        other => other.into(),
    })
}

async fn unary(exchange: Exchange<'_>, call: Call, body: Body) -> Result<Response<Body>, Failure> {
    let route = exchange.matched.route();
    if !route.is_download() && !transcoder::accepts(&accept(&exchange.head.headers), JSON) {
        return Err(Failure::not_acceptable(JSON));
    }
    let frame = call::within(call.deadline, exchange.request_frame(body)).await?;
    respond(route, call.unary(frame).await?)
}

impl Exchange<'_> {
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
        match Limited::new(body, max_bytes).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::body_too_large(max_bytes)),
            Err(_) => Err(Failure::client_gone()),
        }
    }
}

/// The response to one message.
pub(crate) fn respond(route: &Route, message: Bytes) -> Result<Response<Body>, Failure> {
    let (content_type, body) = if route.is_download() {
        let (content_type, data) = route.http_body_response(&message)?;
        (download_type(content_type)?, message.slice(data))
    } else {
        let mut json = Vec::new();
        route.write_response(&message, &mut json)?;
        (Some(HeaderValue::from_static(JSON)), Bytes::from(json))
    };
    let mut response = Response::new(Body::new(Full::new(body)));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    Ok(response)
}

/// The content type that an upstream has set in an `HttpBody`; none if it is empty.
pub(crate) fn download_type(content_type: &str) -> Result<Option<HeaderValue>, Failure> {
    if content_type.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::from_str(content_type);
    value.map(Some).map_err(|_| {
        Fault::new(
            Code::Internal,
            "BAD_UPSTREAM_MESSAGE",
            "the upstream sent a content type that no header can hold",
        )
        .into()
    })
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
        other => other.map_err(|error| Failure::unsupported_media_type(&error.found)),
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
