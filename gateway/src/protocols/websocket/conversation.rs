//! An open WebSocket: frames of the client become requests, responses become frames, concurrently.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use admission::{Holding, Part};
use bytes::Bytes;
use chassis::error::Fault;
use chassis::observe::RequestRecord;
use chassis::stalled::{Pace, Waits};
use futures::future::Either;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::MissedTickBehavior;
use tokio_io_timeout::TimeoutStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use transcoder::Content;

use super::closing::{CallEnd, close, text};
use super::partial::{CountedReads, PartialMessage};
use super::requests::{HungUp, MessageSender, channel};
use super::{RequestInput, Socket};
use crate::api::Catalog;
use crate::call::{Call, RequestMessages};
use crate::failure::Failure;
use crate::protocols::rest::{View, finish_frame_in};

/// Read ahead of the socket; ten thousand idle connections hold ten thousand of these.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// A call over a WebSocket whose handshake is done.
pub(super) struct Conversation {
    pub(super) call: Call,
    /// The frame that path and query made.
    pub(super) opening: Option<Bytes>,
    pub(super) input: RequestInput,
    pub(super) shape: ResponseFormat,
    /// Whether the method has one response.
    pub(super) is_single: bool,
    pub(super) catalog: Arc<Catalog>,
    pub(super) ping_interval: Duration,
    pub(super) max_message_bytes: usize,
    pub(super) response_stall_timeout: Duration,
    pub(super) body_pace: Pace,
    pub(super) holding: Holding,
    /// Bytes that the upstream may send while the client does not read.
    pub(super) response_window: usize,
    pub(super) draining: CancellationToken,
    pub(super) observed: RequestRecord,
}

/// How responses look.
pub(super) enum ResponseFormat {
    Json(View),
    /// `{"result":…}`, as grpc-gateway has it.
    Envelope(View),
    /// The bytes of an `HttpBody`.
    Raw(View),
    Protobuf,
}

/// The liveness of the client. It counts as alive while one of its messages waits for the upstream.
struct Liveness {
    heard: AtomicBool,
    waiting: AtomicBool,
}

// === impl Conversation ===

impl Conversation {
    pub(super) async fn run(self, socket: Upgraded) {
        let bounds = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(self.max_message_bytes))
            .max_frame_size(Some(self.max_message_bytes));
        let mut stream = TimeoutStream::new(TokioIo::new(socket));
        stream.set_write_timeout(Some(self.response_stall_timeout));
        let waits = Waits::new(self.body_pace);
        let partial = PartialMessage::new(self.holding.part(), waits);
        let stream = CountedReads::new(Box::pin(stream), partial.clone());
        let socket = Socket::from_raw_socket(stream, Role::Server, Some(bounds)).await;
        let (mut sink, mut source) = socket.split();
        let (speaker, incoming) = channel();
        // The handshake was the first sign.
        let life = Liveness {
            heard: AtomicBool::new(true),
            waiting: AtomicBool::new(false),
        };
        let speaking = ResponseHalf {
            sink: &mut sink,
            shape: self.shape,
            is_single: self.is_single,
            life: &life,
            draining: self.draining,
            ping: self.ping_interval,
            unread: self.holding.part(),
            window: self.response_window,
            observed: &self.observed,
        };
        let listening = RequestHalf {
            speaker: Some(speaker),
            input: self.input,
            index: 0,
            max_bytes: self.max_message_bytes,
            partial,
            life: &life,
            observed: &self.observed,
        };
        let method = self.call.path.clone();
        let talking = async {
            tokio::select! {
                end = speaking.run(self.call, incoming) => end,
                end = listening.run(self.opening, &mut source) => end,
            }
        };
        let end = self.holding.run(talking).await;
        let end = end.unwrap_or_else(|excess| CallEnd::Failed(excess.into()));
        if let CallEnd::Failed(status) = &end {
            self.catalog.learn_details(&method, status).await;
        }
        end.note(&self.observed);
        close(sink, source, &self.catalog, end).await;
    }
}

/// The client's half.
struct RequestHalf<'a> {
    /// `None` once the requests are complete.
    speaker: Option<MessageSender>,
    input: RequestInput,
    index: u64,
    max_bytes: usize,
    partial: PartialMessage,
    life: &'a Liveness,
    observed: &'a RequestRecord,
}

impl RequestHalf<'_> {
    /// Returns when the client is gone or breaks the rules of the conversation.
    async fn run(mut self, opening: Option<Bytes>, source: &mut SplitStream<Socket>) -> CallEnd {
        if let (Some(frame), Some(speaker)) = (opening, &self.speaker) {
            let _ = speaker.say(frame).await;
        }
        if matches!(self.input, RequestInput::Nothing) {
            self.end().await;
        }
        while let Some(received) = source.next().await {
            self.life.heard.store(true, Ordering::Relaxed);
            self.life.waiting.store(true, Ordering::Relaxed);
            let taken = match received {
                Ok(Message::Text(text)) if text.is_empty() => {
                    self.end().await;
                    Ok(())
                }
                Ok(Message::Text(text)) => self.take(Content::Json, text.into()).await,
                Ok(Message::Binary(bytes)) => self.take(Content::Protobuf, bytes).await,
                Ok(Message::Close(_)) => Err(CallEnd::Gone),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(()),
                Err(tungstenite::Error::Capacity(_)) => Err(CallEnd::TooLarge(
                    Failure::body_too_large(None, self.max_bytes).status,
                )),
                Err(error) => Err(CallEnd::of(&error)),
            };
            self.life.waiting.store(false, Ordering::Relaxed);
            self.partial.complete();
            if let Err(end) = taken {
                return end;
            }
        }
        CallEnd::Gone
    }

    async fn take(&mut self, content: Content, message: Bytes) -> Result<(), CallEnd> {
        let Some(speaker) = self.speaker.take() else {
            return Err(CallEnd::Failed(excess()));
        };
        self.observed.bytes(message.len() as u64, 0);
        match self.encode(content, &message).await {
            Ok(frame) => match speaker.say(frame).await {
                Ok(()) if matches!(self.input, RequestInput::Message(_)) => speaker.end().await,
                // After an upstream has closed the requests, further messages are dropped.
                Ok(()) | Err(HungUp) => self.speaker = Some(speaker),
            },
            // It becomes the status of the call, after the responses in flight.
            Err(failure) => speaker.fail(failure.status).await,
        }
        Ok(())
    }

    async fn encode(&mut self, content: Content, bytes: &[u8]) -> Result<Bytes, Failure> {
        let mut frame = Vec::new();
        match &mut self.input {
            RequestInput::Nothing => return Err(excess().into()),
            RequestInput::Chunks(route) => {
                let start = rpc::frame::begin(&mut frame);
                route.encode_upload_chunk(bytes, &mut frame);
                finish_frame_in(&mut frame, start)?;
            }
            RequestInput::Message(encoder) | RequestInput::Messages(encoder) => {
                let message = transcoder::stream::Message {
                    bytes,
                    index: self.index,
                    offset: 0,
                };
                encoder.put_known(content, &message, &mut frame).await?;
            }
        }
        self.index += 1;
        Ok(frame.into())
    }

    async fn end(&mut self) {
        if let Some(speaker) = self.speaker.take() {
            speaker.end().await;
        }
    }
}

/// The upstream's half.
struct ResponseHalf<'a> {
    sink: &'a mut SplitSink<Socket, Message>,
    shape: ResponseFormat,
    is_single: bool,
    life: &'a Liveness,
    draining: CancellationToken,
    ping: Duration,
    unread: Part,
    window: usize,
    observed: &'a RequestRecord,
}

impl ResponseHalf<'_> {
    /// Returns when the call is over. The next response is read when the client has taken the one
    /// before.
    async fn run(mut self, call: Call, incoming: RequestMessages) -> CallEnd {
        let mut answers = match self.is_single {
            true => Either::Left(pin!(only_answer(call, incoming))),
            false => Either::Right(pin!(answers(call, incoming))),
        };
        let mut pings = tokio::time::interval(self.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.tick().await;
        loop {
            let said = tokio::select! {
                answer = answers.next() => match answer {
                    Some(Ok(message)) => match self.shape.frame(&message).await {
                        Ok(frame) => {
                            self.observed.response_messages(1);
                            self.observed.bytes(0, frame.len() as u64);
                            // While it waits, so does all that the upstream may send.
                            let held = self.unread.set(self.window.max(frame.len()));
                            if let Err(excess) = held {
                                return CallEnd::Failed(excess.into());
                            }
                            let sent = self.sink.send(frame).await;
                            let _: Result<_, _> = self.unread.set(0);
                            sent
                        }
                        Err(failure) => return CallEnd::Failed(failure.status),
                    },
                    Some(Err(status)) => return CallEnd::Failed(status),
                    None => return CallEnd::Complete,
                },
                _ = pings.tick() => {
                    if !self.life.shows() {
                        return CallEnd::Gone;
                    }
                    self.sink.send(Message::Ping(Bytes::new())).await
                }
                () = self.draining.cancelled() => return CallEnd::Draining,
            };
            if said.is_err() {
                return CallEnd::Gone;
            }
        }
    }
}

/// The one response of a call; none at all, or two, are an error.
fn only_answer(call: Call, incoming: RequestMessages) -> impl Stream<Item = Result<Bytes, Status>> {
    futures::stream::once(call.upload(incoming).map_ok(|reply| reply.message))
}

/// The responses of a call, each read when it is asked for.
fn answers(call: Call, incoming: RequestMessages) -> impl Stream<Item = Result<Bytes, Status>> {
    let opened = futures::stream::once(call.converse(incoming));
    let messages = opened.map_ok(|messages| {
        futures::stream::try_unfold(messages, |mut messages| async move {
            let message = messages.message().await?;
            Ok(message.map(|message| (message, messages)))
        })
    });
    messages.try_flatten()
}

fn excess() -> Status {
    let message = "message after the end of the requests";
    Fault::invalid_argument("REQUESTS_COMPLETE", message).into()
}

// === impl ResponseFormat ===

impl ResponseFormat {
    async fn frame(&self, message: &Bytes) -> Result<Message, Failure> {
        let mut json = Vec::new();
        match self {
            ResponseFormat::Protobuf => return Ok(Message::Binary(message.clone())),
            ResponseFormat::Raw(view) => return Ok(Message::Binary(view.data(message)?)),
            ResponseFormat::Json(view) => view.write_known(message, &mut json).await?,
            ResponseFormat::Envelope(view) => {
                json.extend_from_slice(b"{\"result\":");
                view.write_known(message, &mut json).await?;
                json.push(b'}');
            }
        }
        text(json)
    }
}

// === impl Liveness ===

impl Liveness {
    /// Whether anything was heard since this was asked last.
    fn shows(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed)
    }
}
