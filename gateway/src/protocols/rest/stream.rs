//! Server streams: one HTTP body that grows by one message at a time, in the framing that the
//! caller asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::observe::{self, RequestRecord};
use futures::Stream;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::Status;
use tonic::body::Body;
use transcoder::WireError;
use transcoder::stream::{Close, Framing, Writer};

use super::error::write_status;
use super::exchange::{self, Exchange};
use super::view::View;
use crate::api::Catalog;
use crate::call::frame::{draining_status, end_reason};
use crate::call::{self, Call, Messages};
use crate::context::Context;
use crate::failure::Failure;
use crate::policy;

/// Asks nginx and those that follow it not to collect a stream before they pass it on.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Small messages that have arrived together are sent together up to this size: a write for each
/// would cost more than all else.
const BATCH_BYTES: usize = 32 * 1024;

/// Answers one request with a stream.
pub(crate) async fn answer(
    exchange: Exchange<'_>,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let framing = framing(&exchange)?;
    let frame = call::within(call.deadline, exchange.request_frame(body)).await;
    let in_stream = framing.is_some() && exchange.context.dialect().has_envelope();
    let frame = frame.map_err(|failure| match failure.is_of_rules() {
        true => failure.in_stream(in_stream),
        false => failure,
    })?;
    respond(&exchange, framing, call.open(frame).await).await
}

/// Answers a stream of requests with a stream, while they arrive.
pub(crate) async fn converse(
    exchange: Exchange<'_>,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let framing = framing(&exchange)?;
    let incoming = call::within(call.deadline, exchange.request_messages(body)).await?;
    respond(&exchange, framing, call.converse(incoming).await).await
}

/// Responds as soon as the upstream has sent its first message or its first error, which decides
/// the HTTP status; an upstream that has sent its head only decides it by its silence, since
/// balancers do not wait for ever. Raw bytes have no silence: their first message has their type.
async fn respond(
    exchange: &Exchange<'_>,
    framing: Option<Chosen>,
    opened: Result<Messages, Status>,
) -> Result<Response<Body>, Failure> {
    let view = exchange.view.clone();
    let dialect = exchange.context.dialect();
    let in_stream = framing.is_some() && dialect.has_envelope();
    let failed = |status: Status| Failure::from(status).in_stream(in_stream);
    let mut messages = opened.map_err(failed)?;
    let silence = tokio::time::sleep(exchange.context.sse_keep_alive());
    let first = tokio::select! {
        first = messages.message() => Opening::of(first.map_err(failed)?),
        () = silence, if framing.is_some() => Opening::Silence,
    };
    let metadata = messages.metadata();
    let mut response = match framing {
        None => download(view, messages, first.message())?,
        Some(framing) => begin(exchange, framing, messages, first).await?,
    };
    let rules = &exchange.context.policy().metadata;
    rules.dress_stream(&metadata, exchange.head, &mut response);
    Ok(response)
}

/// The first event of a response.
enum Opening {
    Message(Bytes),
    End,
    Silence,
}

impl Opening {
    fn of(message: Option<Bytes>) -> Self {
        message.map_or(Self::End, Self::Message)
    }

    fn message(self) -> Option<Bytes> {
        match self {
            Self::Message(message) => Some(message),
            Self::End | Self::Silence => None,
        }
    }
}

async fn begin(
    exchange: &Exchange<'_>,
    (framing, content_type): Chosen,
    messages: Messages,
    first: Opening,
) -> Result<Response<Body>, Failure> {
    let view = exchange.view.clone();
    let context = exchange.context;
    let mut writer = Writer::new(framing);
    if context.dialect().has_envelope() {
        writer = writer.with_envelope();
    }
    let observed = observe::current();
    let mut opening = Vec::new();
    match first {
        Opening::Message(first) => {
            observed.response_messages(1);
            let write = || write(&mut writer, &view, &first, &mut opening);
            let written = view.convert(write).await;
            written.map_err(|error| view.violation(&error))?;
        }
        Opening::Silence => writer.keep_alive(&mut opening),
        Opening::End => {}
    }
    let live = ResponseStream {
        messages,
        opening,
        view,
        catalog: exchange.catalog.clone(),
        writer: Some(writer),
        method: exchange.matched.method().path().to_owned(),
        postponed: None,
        failed: None,
        keep_alive: context.sse_keep_alive(),
        context: context.clone(),
        trailers: policy::takes_trailers(&exchange.head.headers).then(HeaderMap::new),
        observed,
    };
    Ok(live.respond(content_type))
}

/// A framing and its media type.
type Chosen = (Framing, &'static str);

/// The framing that the caller asks for; none for raw bytes.
fn framing(exchange: &Exchange<'_>) -> Result<Option<Chosen>, Failure> {
    if exchange.matched.route().is_download() {
        return Ok(None);
    }
    let accept = exchange::accept(&exchange.head.headers);
    let alt = exchange.parameters.alt.as_deref();
    let chosen = exchange.context.dialect().framing(&accept, alt);
    let chosen = chosen.ok_or_else(|| {
        Failure::not_acceptable(
            "application/x-ndjson, application/json, text/event-stream, application/x-protobuf",
        )
    })?;
    if exchange.view.is_partial() && !chosen.0.is_json() {
        return Err(Failure::fields_of_protobuf());
    }
    Ok(Some(chosen))
}

/// Appends one message: its JSON, or itself where the caller asked for protobuf.
fn write(
    writer: &mut Writer,
    view: &View,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let is_json = writer.framing().is_json();
    writer.message(out, |out| {
        if is_json {
            view.write_json(message, out)
        } else {
            out.extend_from_slice(message);
            Ok(())
        }
    })
}

/// A stream while it is being sent. The next message is read when the client has taken the one
/// before: HTTP flow control on the one side becomes HTTP/2 flow control on the other, and nothing
/// is queued between.
struct ResponseStream {
    messages: Messages,
    /// The first message, written already, to decide the HTTP status; empty once it is sent.
    opening: Vec<u8>,
    view: View,
    catalog: Arc<Catalog>,
    /// `/package.Service/Method`.
    method: String,
    /// A message whose Any is of a type that is not known, after the messages written so far.
    postponed: Option<Bytes>,
    /// `None` once the end is written.
    writer: Option<Writer>,
    /// The error that follows the messages written so far.
    failed: Option<Status>,
    keep_alive: Duration,
    context: Context,
    /// The trailers, for a caller that accepts them.
    trailers: Option<HeaderMap>,
    observed: RequestRecord,
}

enum Event {
    Message(Bytes),
    End,
    Failed(Status),
    Silence,
}

impl ResponseStream {
    fn respond(self, content_type: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::new(StreamBody::new(self.into_stream())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
        response
    }

    /// Messages that arrived together are sent together; none waits for a later one.
    fn into_stream(self) -> impl Stream<Item = Result<Frame<Bytes>, Status>> + Send {
        futures::stream::try_unfold(self, |mut live| async move {
            let unit = match live.next().await {
                Ok(unit) => unit,
                Err(status) => {
                    // Flushes the bytes written so far, before the connection closes.
                    tokio::task::yield_now().await;
                    return Err(status);
                }
            };
            if !unit.is_empty() {
                return Ok(Some((Frame::data(Bytes::from(unit)), live)));
            }
            let trailers = live.trailers.take().filter(|trailers| !trailers.is_empty());
            Ok(trailers.map(|trailers| (Frame::trailers(trailers), live)))
        })
    }

    /// The bytes that come next; empty at the end.
    ///
    /// # Errors
    /// The stream has failed and its framing has no error, so the transfer is aborted.
    async fn next(&mut self) -> Result<Vec<u8>, Status> {
        let mut out = std::mem::take(&mut self.opening);
        if !out.is_empty() {
            return Ok(out);
        }
        let Some(mut writer) = self.writer.take() else {
            return Ok(out);
        };
        match self.event(writer.framing()).await {
            Event::Message(message) => {
                let written = self.write_ready(&mut writer, message, &mut out).await;
                match written {
                    Ok(()) => self.writer = Some(writer),
                    Err(error) => {
                        let status = self.view.violation(&error).status;
                        self.fail(writer, status, &mut out).await?;
                    }
                }
            }
            Event::Silence => {
                writer.keep_alive(&mut out);
                self.writer = Some(writer);
            }
            Event::Failed(status) => {
                self.keep_trailers(status.metadata().as_ref());
                self.fail(writer, status, &mut out).await?;
            }
            Event::End => {
                if self.trailers.is_some() {
                    let trailers = self.messages.trailers();
                    self.keep_trailers(&trailers);
                }
                writer.end(&mut out);
            }
        }
        Ok(out)
    }

    /// Appends a message and those that have arrived with it, up to the size of a batch.
    async fn write_ready(
        &mut self,
        writer: &mut Writer,
        message: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let write_first = || write(writer, &self.view, &message, out);
        self.view.convert(write_first).await?;
        let mut written_messages = 1;
        while self.failed.is_none()
            && out.len() < BATCH_BYTES
            && let Some(message) = self.messages.ready_message()
        {
            match write(writer, &self.view, &message, out) {
                Ok(()) => written_messages += 1,
                // Those before it do not wait for its type.
                Err(error) if error.missing_type.is_some() => {
                    self.postponed = Some(message);
                    break;
                }
                // Reported after the valid messages.
                Err(error) => self.failed = Some(self.view.violation(&error).status),
            }
        }
        self.observed.response_messages(written_messages);
        Ok(())
    }

    async fn event(&mut self, framing: Framing) -> Event {
        if let Some(status) = self.failed.take() {
            return Event::Failed(status);
        }
        if let Some(message) = self.postponed.take() {
            return Event::Message(message);
        }
        // A client that reads line by line may not expect an empty line.
        let has_keep_alive = matches!(framing, Framing::Sse | Framing::JsonArray);
        tokio::select! {
            message = self.messages.message() => match message {
                Ok(Some(message)) => Event::Message(message),
                Ok(None) => Event::End,
                Err(status) => Event::Failed(status),
            },
            () = tokio::time::sleep(self.keep_alive), if has_keep_alive => Event::Silence,
            // An endless stream would otherwise hold up the drain.
            () = self.context.draining().cancelled() => {
                Event::Failed(draining_status())
            }
        }
    }

    fn keep_trailers(&mut self, sent: &HeaderMap) {
        if let Some(trailers) = &mut self.trailers {
            *trailers = self.context.policy().metadata.trailers(sent);
        }
    }

    async fn fail(
        &mut self,
        writer: Writer,
        status: Status,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.catalog.learn_details(&self.method, &status).await;
        self.observed.code(status.code());
        self.observed.end(end_reason(&status));
        let mut json = Vec::new();
        write_status(&self.catalog.schema, &status, &mut json);
        match writer.error(&json, out) {
            Close::Clean => Ok(()),
            Close::Abort => Err(status),
        }
    }
}

/// Raw bytes of `google.api.HttpBody` messages, one after the other. They have no place for an
/// error, so a failure aborts the transfer.
fn download(
    view: View,
    messages: Messages,
    first: Option<Bytes>,
) -> Result<Response<Body>, Failure> {
    let content_type = match &first {
        Some(message) => view.content_type(message)?,
        None => None,
    };
    let chunks = futures::stream::try_unfold((messages, first), move |(mut messages, first)| {
        let view = view.clone();
        async move {
            let message = match first {
                Some(first) => Some(first),
                None => messages.message().await?,
            };
            let Some(message) = message else {
                return Ok(None);
            };
            let data = view.data(&message).map_err(|failure| failure.status)?;
            Ok::<_, Status>(Some((Frame::data(data), (messages, None))))
        }
    });
    let mut response = Response::new(Body::new(StreamBody::new(chunks)));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    Ok(response)
}
