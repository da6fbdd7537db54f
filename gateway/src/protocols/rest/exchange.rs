//! A request of the JSON API that has found its route: its messages in, its one message out.

use std::sync::Arc;

use admission::Holding;
use bytes::Bytes;
use chassis::stalled;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;
use rpc::frame::HEADER_BYTES;
use tonic::Status;
use tonic::body::Body;
use transcoder::{Content, Match, RequestError, SystemParameters};

use super::error::put_grpc_status;
use super::requests::RequestStream;
use super::view::View;
use super::{multipart, upload};
use crate::api::Catalog;
use crate::call::frame::{begin_frame, end_frame, end_frame_in};
use crate::call::{self, RequestMessages, UnaryReply};
use crate::context::Context;
use crate::failure::Failure;
use crate::policy::MessagePolicy;
use crate::protocols::JSON;
use crate::protocols::answers::{self, Asked};

const MESSAGE_TYPES: &str = "`application/json`, a form (`multipart/form-data` too) or protobuf";

/// A request of the JSON API that has found its route.
pub(crate) struct Exchange<'a> {
    pub(crate) context: &'a Context,
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) head: &'a Parts,
    pub(crate) matched: &'a Match<'a>,
    pub(crate) parameters: SystemParameters<'a>,
    pub(crate) view: View,
}

impl<'a> Exchange<'a> {
    /// # Errors
    /// Fields are asked for that the response does not have.
    pub(crate) fn new(
        context: &'a Context,
        catalog: &'a Arc<Catalog>,
        matched: &'a Match<'a>,
        head: &'a Parts,
    ) -> Result<Self, Failure> {
        let parameters = SystemParameters::of(matched.route(), head.uri.query());
        Ok(Self {
            context,
            catalog,
            head,
            matched,
            view: View::new(catalog, matched.route(), &parameters)?,
            parameters,
        })
    }

    /// Whether the caller takes what a single message is answered with.
    pub(super) fn check_accept(&self) -> Result<(), Failure> {
        let is_raw = self.matched.route().is_download();
        let is_minded = self.context.dialect().minds_accept();
        if is_raw || !is_minded || transcoder::accepts(&accept(&self.head.headers), JSON) {
            Ok(())
        } else {
            Err(Failure::not_acceptable(JSON))
        }
    }

    /// The call, if its answer may serve another one.
    pub(super) fn asked(&self) -> Option<Asked<'_>> {
        let method = self.matched.method();
        answers::concerns(self.context, self.catalog, method).then(|| Asked {
            context: self.context,
            catalog: self.catalog,
            upstream: self.catalog.owner(method.path()).map_or("", |it| it.name()),
            method,
            extensions: &self.head.extensions,
            headers: Some(&self.head.headers),
        })
    }

    /// The response that is one message.
    pub(super) async fn respond(&self, answer: UnaryReply) -> Result<Response<Body>, Failure> {
        let policy = self.context.policy();
        let response = self.view.respond(&answer.message).await?;
        let mut response = policy.metadata.dress(&answer, self.head, response);
        put_grpc_status(policy.dialect, &Status::ok(""), response.headers_mut());
        answers::add_own(&answer.own, response.headers_mut());
        let Some(tagger) = policy.tagger(&self.head.method) else {
            return Ok(response);
        };
        if response.status() == StatusCode::OK && !response.headers().contains_key(ETAG) {
            let mut canonical = Vec::new();
            if let Some(output) = self.catalog.schema.message(self.matched.method().output()) {
                let made = output.canonical(&answer.message, &mut canonical);
                made.map_err(|error| self.view.violation(&error))?;
            }
            let fields = self.parameters.fields.as_deref().unwrap_or_default();
            if let Some(tag) = tagger.tag(&canonical, fields, self.catalog.revision) {
                response.headers_mut().insert(ETAG, tag);
            }
        }
        Ok(response)
    }

    /// The messages of a request that is a stream of them, each encoded when the upstream takes it.
    pub(crate) async fn request_messages(&self, body: Body) -> Result<RequestMessages, Failure> {
        if self.matched.route().is_upload() {
            upload::messages(self, body).await
        } else {
            RequestStream::of(self, body)
        }
    }

    /// Encodes the first frame of an upload: all fields but the bytes.
    pub(crate) fn upload_head(
        &self,
        query: Option<&str>,
        content_type: &str,
    ) -> Result<Bytes, Failure> {
        let mut frame = begin_frame();
        self.matched
            .encode_upload_head(query, content_type, &mut frame)?;
        finish_frame(frame)
    }

    /// Reads a whole request and encodes it as one frame.
    pub(crate) async fn request_frame(&self, body: Body) -> Result<Bytes, Failure> {
        let content_type = content_type(&self.head.headers)?.unwrap_or_default();
        let boundary = multipart::boundary(content_type)?;
        let body = stalled::bound(body, self.context.body_pace());
        let mut frame = begin_frame();
        let query = self.head.uri.query();
        let max_bytes = self.context.max_body_bytes();
        match (self.matched.route().is_upload(), boundary) {
            (true, None) => {
                self.matched
                    .encode_upload_head(query, content_type, &mut frame)?;
                self.put_chunk(&self.read(body).await?, &mut frame);
            }
            (true, Some(boundary)) => {
                let file = multipart::file(body, boundary, max_bytes, &self.holding()).await?;
                let query = file.query_behind(query);
                self.matched
                    .encode_upload_head(Some(&query), &file.content_type, &mut frame)?;
                let data = self.read(file.data).await;
                let refused = |failure| file.refused.get().cloned().map_or(failure, Failure::from);
                self.put_chunk(&data.map_err(refused)?, &mut frame);
            }
            (false, None) => {
                let content = self.content(content_type, &body)?;
                let body = self.read(body).await?;
                let content = content.unwrap_or_else(|| Content::lenient(content_type, &body));
                let encode = || {
                    self.matched
                        .encode_request_as(content, query, &body, &mut frame)
                };
                let method = self.matched.method().path();
                let encoded = self.catalog.convert(method, encode).await;
                encoded.map_err(|error| of_body(error, content, &body))?;
            }
            (false, Some(boundary)) => {
                let form = multipart::form(body, boundary, max_bytes, &self.holding()).await?;
                let encode = || {
                    self.matched
                        .encode_request_as(Content::Form, query, &form, &mut frame)
                };
                let method = self.matched.method().path();
                self.catalog.convert(method, encode).await?;
            }
        }
        finish_frame(frame)
    }

    /// Returns the content of a body by its type; `None` where the body itself tells it.
    fn content(&self, content_type: &str, body: &Body) -> Result<Option<Content>, Failure> {
        match self.context.dialect().takes_any_type() {
            true => Ok(None),
            false => content(content_type, body).map(Some),
        }
    }

    fn put_chunk(&self, chunk: &[u8], frame: &mut Vec<u8>) {
        self.matched.route().encode_upload_chunk(chunk, frame);
    }

    async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        let max_bytes = self.context.max_body_bytes();
        let declared = body.size_hint().lower();
        if declared > max_bytes as u64 {
            return Err(Failure::body_too_large(Some(declared), max_bytes));
        }
        let too_large = || Failure::body_too_large(None, max_bytes);
        call::read_whole(body, max_bytes, too_large, &self.holding()).await
    }

    /// The holding by which the memory for the request is counted.
    pub(crate) fn holding(&self) -> Holding {
        call::holding(&self.head.extensions)
    }
}

/// Completes the frame of one request message, which passes the policy by message.
pub(super) fn finish_frame(frame: Vec<u8>) -> Result<Bytes, Failure> {
    MessagePolicy::encoded_by_route().admit(&frame[HEADER_BYTES..])?;
    Ok(end_frame(frame, 0)?)
}

/// [`finish_frame`] for the last one of several, which begins at `start`.
pub(crate) fn finish_frame_in(frames: &mut [u8], start: usize) -> Result<(), Failure> {
    MessagePolicy::encoded_by_route().admit(&frames[start + HEADER_BYTES..])?;
    Ok(end_frame_in(frames, start)?)
}

/// The content type of a request, in text.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let value = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    value
        .transpose()
        .map_err(|_| Failure::bad_header("content-type", "ASCII"))
}

/// Returns the content of a body: JSON without a content type. Without a body the type is ignored.
fn content(content_type: &str, body: &Body) -> Result<Content, Failure> {
    match Content::of(content_type) {
        Err(_) if body.is_end_stream() => Ok(Content::Json),
        other => {
            other.map_err(|error| Failure::unsupported_media_type(&error.found, MESSAGE_TYPES))
        }
    }
}

/// Says what a body was taken for where it was a form, the type that curl sends by default.
fn of_body(mut error: RequestError, content: Content, body: &[u8]) -> Failure {
    if content == Content::Form && !body.is_empty() {
        let hint = "the content type `application/x-www-form-urlencoded` is read as form fields; for \
                    JSON send `-H 'content-type: application/json'`";
        error.description = format!("{} ({hint})", error.description);
    }
    error.into()
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
