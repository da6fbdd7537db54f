//! Unary calls whose answer may serve another call, in every protocol.

use std::net::IpAddr;
use std::sync::Arc;

use auth::Identity;
use bytes::Bytes;
use cache::{Answer, Cache, Question};
use chassis::error::Fault;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::{Extensions, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use idempotency::Replays;
use rpc::error::GRPC_STATUS;
use rpc::frame::{COMPRESSED, FrameReader, HEADER_BYTES};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use transcoder::{MessageType, MethodPlan};

use super::inspect;
use crate::api::{Catalog, UpstreamHandle};
use crate::call::frame::{self, ByteLimit};
use crate::call::{self, Call, UnaryReply};
use crate::context::Context;
use crate::failure::REPLAYED;
use crate::policy::client_address::ClientAddress;

/// A call of a method that [`concerns`] the stores of answers.
pub(super) struct Asked<'a> {
    pub(super) context: &'a Context,
    pub(super) catalog: &'a Catalog,
    /// The name of the upstream.
    pub(super) upstream: &'a str,
    pub(super) method: &'a MethodPlan,
    /// Those of the request.
    pub(super) extensions: &'a Extensions,
    /// Those of the request, where its metadata have others.
    pub(super) headers: Option<&'a HeaderMap>,
}

/// Returns whether an answer of the method may serve another call. Of most methods it may not.
/// An answer that hides fields from some callers serves nobody else.
pub(super) fn concerns(context: &Context, catalog: &Catalog, method: &MethodPlan) -> bool {
    let concerned = context.policy().answers.concern(&catalog.answers, method);
    concerned && catalog.schema.mask(method).is_none()
}

impl Asked<'_> {
    /// Answers a call of one frame.
    pub(super) async fn unary(&self, mut call: Call, frame: Bytes) -> Result<UnaryReply, Status> {
        // A kept answer is for those who may make the call.
        call.admit(&frame).await?;
        let answers = &self.context.policy().answers;
        let Some(input) = self.catalog.schema.message(self.method.input()) else {
            return call.unary(frame).await;
        };
        let message = canonical(input, &frame[HEADER_BYTES..])?;
        let request = (input, &*message);
        let selected = &self.catalog.answers;
        if let (Some(cache), Some(policy)) = (&answers.cache, selected.cache(self.method)) {
            return self.cached(cache, policy, request, call, frame).await;
        }
        match (&answers.replays, selected.key(self.method)) {
            (Some(replays), Some(policy)) => {
                self.replayed(replays, policy, request, call, frame).await
            }
            _ => call.unary(frame).await,
        }
    }

    async fn cached(
        &self,
        cache: &Cache,
        policy: &contract::Cache,
        (input, message): (MessageType<'_>, &[u8]),
        call: Call,
        frame: Bytes,
    ) -> Result<UnaryReply, Status> {
        let fields = policy.invalidated_by.iter();
        let fields = fields.map(|wait| wait.field.as_deref());
        let event_keys: Vec<String> = fields
            .map(|field| field.and_then(|field| input.text(field, message)))
            .map(|key| key.unwrap_or_default().to_owned())
            .collect();
        let question = Question {
            upstream: self.upstream,
            method: self.method.path(),
            message,
            identity: self.identity(),
            address: self.address(),
            headers: self.headers.unwrap_or(&call.metadata),
            metadata: &call.metadata,
            deadline: call.deadline,
            event_keys: &event_keys,
        };
        let fetch = |until| {
            let call = Call {
                deadline: until,
                ..call.clone()
            };
            let frame = frame.clone();
            async move { call.unary(frame).await.map(Answer::from) }
        };
        let served = cache.serve(policy, question, fetch).await?;
        Ok(UnaryReply {
            own: served.headers,
            ..served.answer.into()
        })
    }

    async fn replayed(
        &self,
        replays: &Replays,
        policy: &contract::IdempotencyKey,
        (input, message): (MessageType<'_>, &[u8]),
        call: Call,
        frame: Bytes,
    ) -> Result<UnaryReply, Status> {
        let headers = self.headers.unwrap_or(&call.metadata);
        let key = match &policy.field {
            Some(field) => input.text(field, message).map(str::to_owned),
            None => idempotency::header_key(headers).map_err(malformed_key)?,
        };
        let metadata = call.metadata.clone();
        let request = idempotency::Request {
            method: self.method.path(),
            message,
            key: key.as_deref().filter(|key| !key.is_empty()),
            identity: self.identity(),
            address: self.address(),
            metadata: &metadata,
            deadline: call.deadline,
        };
        let call = async move { call.unary(frame).await.map(Answer::from) };
        let replied = replays.run(policy, request, call).await?;
        let mut own = HeaderMap::new();
        if replied.is_replayed {
            own.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        match replied.outcome {
            Ok(answer) => Ok(UnaryReply {
                own,
                ..answer.into()
            }),
            Err(mut status) => {
                let mut metadata = std::mem::take(status.metadata_mut()).into_headers();
                metadata.extend(own);
                *status.metadata_mut() = MetadataMap::from_headers(metadata);
                Err(status)
            }
        }
    }

    fn identity(&self) -> Option<&Identity> {
        self.extensions.get::<Arc<Identity>>().map(|own| &**own)
    }

    fn address(&self) -> Option<IpAddr> {
        let client = self.extensions.get::<ClientAddress>();
        client.map(|client| client.address)
    }
}

fn malformed_key(error: idempotency::Malformed) -> Status {
    let header = idempotency::HEADER;
    let name = header.as_str();
    let message = format!("the header `{name}` is malformed: {error}");
    let fault = Fault::invalid_argument("IDEMPOTENCY_KEY_MALFORMED", message);
    fault.violation(name, error.to_string()).into()
}

/// [`Asked::unary`] for a request and a response in the form of gRPC.
pub(super) async fn forward(
    context: &Context,
    catalog: &Catalog,
    upstream: &UpstreamHandle,
    method: &MethodPlan,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let (mut head, body) = request.into_parts();
    let coding = inspect::coding(&head.headers)?;
    // A kept message is not compressed.
    head.headers.remove(inspect::ENCODING);
    head.headers.remove(inspect::ACCEPT_ENCODING);
    let limit = context.request_limit();
    let (frame, is_compressed) = call::within(deadline, only_frame(body, limit)).await?;
    let frame = match coding.filter(|_| is_compressed) {
        None => frame,
        Some(coding) => inspect::decompressed(coding, &frame.slice(HEADER_BYTES..), limit)?,
    };
    let call = Call {
        upstream: upstream.client().clone(),
        path: method.path().to_owned(),
        safety: call::safety(method),
        caller: call::caller(&head.extensions, Some(method)),
        metadata: head.headers,
        deadline,
        lease: None,
        max_message_bytes: context.max_message_bytes(),
        // Methods with hidden fields keep no answers, and conditions were met before.
        mask: None,
        check: None,
    };
    let asked = Asked {
        context,
        catalog,
        upstream: upstream.name(),
        method,
        extensions: &head.extensions,
        headers: None,
    };
    into_grpc(asked.unary(call, frame).await?)
}

/// Returns the one frame of a body, and whether its message is compressed.
async fn only_frame(mut body: Body, limit: ByteLimit) -> Result<(Bytes, bool), Status> {
    let mut frames = FrameReader::new(limit.bytes);
    let mut found = None;
    while let Some(part) = body.frame().await.transpose()? {
        frames.push(part.into_data().unwrap_or_default());
        if found.is_none() {
            let next = frames.next_frame();
            found = next.map_err(|error| frame::unacceptable(error, limit))?;
        }
        if found.is_some() && !frames.is_empty() {
            return Err(one_message("more than one message"));
        }
    }
    let frame = found.ok_or_else(|| one_message("no whole message"))?;
    let is_compressed = frame.flags() == COMPRESSED;
    Ok((frame.into_bytes(), is_compressed))
}

fn one_message(found: &str) -> Status {
    let message = format!("a unary call has one message, and this has {found}");
    Fault::invalid_argument("MALFORMED_MESSAGE", message).into()
}

/// A response with one message and its status in trailers.
fn into_grpc(reply: UnaryReply) -> Result<Response<Body>, Status> {
    let mut frame = frame::begin_frame();
    frame.extend_from_slice(&reply.message);
    let frame = Frame::data(frame::end_frame(frame, 0)?);
    let mut trailers = reply.trailers;
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let frames = [Ok::<_, Status>(frame), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
    let headers = response.headers_mut();
    *headers = reply.metadata;
    add_own(&reply.own, headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// Adds the gateway's own headers about an answer.
pub(super) fn add_own(own: &HeaderMap, headers: &mut HeaderMap) {
    for (name, value) in own {
        match *name == VARY {
            true => headers.append(name.clone(), value.clone()),
            false => headers.insert(name.clone(), value.clone()).is_some(),
        };
    }
}

/// Returns the request message in the one form that equal messages have.
fn canonical(input: MessageType<'_>, message: &[u8]) -> Result<Vec<u8>, Status> {
    let mut canonical = Vec::with_capacity(message.len());
    input.canonical(message, &mut canonical).map_err(|error| {
        let text = format!("the request message is malformed: {error}");
        Status::from(Fault::invalid_argument("INVALID_MESSAGE", text))
    })?;
    Ok(canonical)
}

impl From<UnaryReply> for Answer {
    fn from(reply: UnaryReply) -> Self {
        Self {
            message: reply.message,
            metadata: reply.metadata,
            trailers: reply.trailers,
        }
    }
}

impl From<Answer> for UnaryReply {
    fn from(answer: Answer) -> Self {
        Self {
            message: answer.message,
            metadata: answer.metadata,
            trailers: answer.trailers,
            own: HeaderMap::new(),
        }
    }
}
