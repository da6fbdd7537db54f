//! The JSON API: from an HTTP request to a call, and from its response to JSON.

use std::sync::Arc;

use bytes::Bytes;
use chassis::{observe, stalled};
use futures::FutureExt;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tonic::body::Body;
use transcoder::{Content, Match, MethodKind, RouteError, SystemParameters};

use crate::call::{self, Answer, Call, Incoming};
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::gateway::{Gateway, note_match};
use crate::requests::Requests;
use crate::view::{JSON, View};
use crate::{multipart, stream, upload};

const MESSAGE_TYPES: &str =
    "`application/json` is, and forms (`multipart/form-data` too) and protobuf are";

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
    if let Some(response) = options(catalog, &head) {
        return response;
    }
    let edge = gateway.edge();
    let answered = answer(gateway, catalog, &head, body).await;
    let response = answered.unwrap_or_else(|failure| {
        observe::current().code(failure.status.code());
        let (schema, headers) = (&catalog.schema, &head.headers);
        failure.into_response(schema, edge, headers)
    });
    edge.finish(&head, response)
}

/// What a path may be asked with, for OPTIONS without a route of its own (RFC 9110 §9.3.7).
fn options(catalog: &Catalog, head: &Parts) -> Option<Response<Body>> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if head.uri.path() == "*" {
        return Some(response);
    }
    let found = catalog.schema.route(&head.method, head.uri.path());
    let Err(RouteError::MethodNotAllowed { allow }) = found else {
        return None;
    };
    let mut methods: Vec<&str> = allow.iter().map(Method::as_str).collect();
    methods.push("OPTIONS");
    let allow = HeaderValue::from_str(&methods.join(", ")).ok()?;
    response.headers_mut().insert(ALLOW, allow);
    Some(response)
}

async fn answer(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    head: &Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let (matched, owner) = route(catalog, head)?;
    note_match(&matched, gateway.directory().name(owner));
    let body = gateway.edge().decode(&head.headers, body)?;
    let method = matched.method();
    let call = call(gateway, head, &matched, owner)?;
    let parameters = SystemParameters::of(head.uri.query());
    let exchange = Exchange {
        gateway,
        catalog,
        head,
        matched,
        view: View::new(matched.route(), &parameters)?,
        parameters,
    };
    // A rule without a body leaves path and query to say all, which is one message. Streams are in boxes of their own, so that
    // the others need not make room for them.
    match (method.kind(), matched.route().takes_body()) {
        (MethodKind::Unary, _) | (MethodKind::ClientStreaming, false) => {
            unary(exchange, call, body).await
        }
        (MethodKind::ServerStreaming, _) | (MethodKind::BidiStreaming, false) => {
            stream::answer(exchange, call, body).boxed().await
        }
        (MethodKind::ClientStreaming, true) => collect(exchange, call, body).boxed().await,
        (MethodKind::BidiStreaming, true) => stream::converse(exchange, call, body).boxed().await,
    }
}

/// The call that a request makes.
pub(crate) fn call(
    gateway: &Gateway,
    head: &Parts,
    matched: &Match<'_>,
    owner: usize,
) -> Result<Call, Failure> {
    let edge = gateway.edge();
    let mut metadata = edge.metadata.of_request(&head.headers)?;
    let template = matched.route().template();
    edge.metadata.add_origin(head, template, &mut metadata);
    Ok(Call {
        upstream: gateway.directory().upstream(owner).clone(),
        path: matched.method().path().to_owned(),
        safety: call::safety(matched.method()),
        metadata,
        deadline: edge.deadline(&head.headers)?,
        max_message_bytes: gateway.max_message_bytes(),
    })
}

pub(crate) fn route<'a>(
    catalog: &'a Catalog,
    head: &'a Parts,
) -> Result<(Match<'a>, usize), Failure> {
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
    let observed = observe::current();
    observed.request_messages(1);
    let answer = call.unary(frame).await?;
    observed.response_messages(1);
    exchange.respond(answer)
}

/// Answers a stream of requests with the upstream's one message.
async fn collect(
    exchange: Exchange<'_>,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Failure> {
    exchange.check_accept()?;
    let incoming = call::within(call.deadline, exchange.request_messages(body)).await?;
    exchange.respond(call.upload(incoming).await?)
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

    /// The response that is one message.
    fn respond(&self, answer: Answer) -> Result<Response<Body>, Failure> {
        let edge = self.gateway.edge();
        let response = self.view.respond(&answer.message)?;
        let mut response = edge.metadata.dress(&answer, self.head, response);
        let Some(tagger) = edge.tagger(&self.head.method) else {
            return Ok(response);
        };
        if response.status() == StatusCode::OK && !response.headers().contains_key(ETAG) {
            let mut canonical = Vec::new();
            if let Some(output) = self.catalog.schema.message(self.matched.method().output()) {
                output.canonical(&answer.message, &mut canonical)?;
            }
            let fields = self.parameters.fields.as_deref().unwrap_or_default();
            if let Some(tag) = tagger.tag(&canonical, fields, self.catalog.revision) {
                response.headers_mut().insert(ETAG, tag);
            }
        }
        Ok(response)
    }

    /// The messages of a request that is a stream of them, each encoded when the upstream takes it.
    pub(crate) async fn request_messages(&self, body: Body) -> Result<Incoming, Failure> {
        if self.matched.route().is_upload() {
            upload::messages(self, body).await
        } else {
            Requests::of(self, body)
        }
    }

    /// The frame of an upload that says all but the bytes.
    pub(crate) fn upload_head(
        &self,
        query: Option<&str>,
        content_type: &str,
    ) -> Result<Bytes, Failure> {
        let mut frame = call::begin_frame();
        self.matched
            .encode_upload_head(query, content_type, &mut frame)?;
        Ok(call::end_frame(frame)?)
    }

    /// Reads a whole request and encodes it as one frame.
    pub(crate) async fn request_frame(&self, body: Body) -> Result<Bytes, Failure> {
        let content_type = content_type(&self.head.headers)?.unwrap_or_default();
        let boundary = multipart::boundary(content_type)?;
        let body = stalled::bound(body, self.gateway.body_stall_timeout());
        let mut frame = call::begin_frame();
        let query = self.head.uri.query();
        let max_bytes = self.gateway.config().max_body_bytes;
        match (self.matched.route().is_upload(), boundary) {
            (true, None) => {
                self.matched
                    .encode_upload_head(query, content_type, &mut frame)?;
                self.put_chunk(&self.read(body).await?, &mut frame);
            }
            (true, Some(boundary)) => {
                let file = multipart::file(body, boundary, max_bytes).await?;
                let query = file.query_behind(query);
                self.matched
                    .encode_upload_head(Some(&query), &file.content_type, &mut frame)?;
                let data = self.read(file.data).await;
                let refused = |failure| file.refused.get().cloned().map_or(failure, Failure::from);
                self.put_chunk(&data.map_err(refused)?, &mut frame);
            }
            (false, None) => {
                let content = content(content_type, &body)?;
                let body = self.read(body).await?;
                self.matched
                    .encode_request_as(content, query, &body, &mut frame)?;
            }
            (false, Some(boundary)) => {
                let form = multipart::form(body, boundary, max_bytes).await?;
                self.matched
                    .encode_request_as(Content::Form, query, &form, &mut frame)?;
            }
        }
        Ok(call::end_frame(frame)?)
    }

    fn put_chunk(&self, chunk: &[u8], frame: &mut Vec<u8>) {
        self.matched.route().encode_upload_chunk(chunk, frame);
    }

    async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        let max_bytes = self.gateway.config().max_body_bytes;
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(Failure::body_too_large(max_bytes));
        }
        call::read_whole(body, max_bytes, Failure::body_too_large).await
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
fn content(content_type: &str, body: &Body) -> Result<Content, Failure> {
    match Content::of(content_type) {
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
            let body = Body::new(Full::from("x"));
            assert_eq!(content(content_type, &body).ok(), expected);
            assert!(content(content_type, &Body::empty()).is_ok());
        }
    }
}
