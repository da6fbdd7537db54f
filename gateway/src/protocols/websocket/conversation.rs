//! An open WebSocket: what the client says becomes requests, what the upstream answers becomes frames, both at once.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chassis::error::Fault;
use chassis::observe::{self, RequestRecord};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt, TryStreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::MissedTickBehavior;
use tokio_io_timeout::TimeoutStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use transcoder::{Content, status_code_name};

use super::Input;
use super::requests::{HungUp, Speaker, channel};
use crate::api::Catalog;
use crate::call::frame::{stopping, why};
use crate::call::{Call, Incoming};
use crate::failure::Failure;
use crate::protocols::rest::{View, finish_frame_in, write_status};

/// Read ahead of the socket; ten thousand idle connections hold ten thousand of these.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// How long the client may take to close its side after ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Close codes of the range that RFC 6455 §7.4.2 leaves to applications: this one plus the gRPC code.
const CODES: u16 = 4000;

/// Of which no write waits for long.
type Socket = WebSocketStream<Pin<Box<TimeoutStream<TokioIo<Upgraded>>>>>;

/// What is agreed on when the handshake is over.
pub(super) struct Conversation {
    pub(super) call: Call,
    /// The frame that path and query made.
    pub(super) opening: Option<Bytes>,
    pub(super) input: Input,
    pub(super) shape: Shape,
    pub(super) catalog: Arc<Catalog>,
    pub(super) ping_interval: Duration,
    pub(super) max_message_bytes: usize,
    pub(super) response_stall_timeout: Duration,
    pub(super) draining: CancellationToken,
    pub(super) observed: RequestRecord,
}

/// How responses look.
pub(super) enum Shape {
    Json(View),
    /// `{"result":…}`, as grpc-gateway has it.
    Envelope(View),
    /// The bytes of an `HttpBody`.
    Raw(View),
    Protobuf,
}

/// Why a conversation ends.
enum End {
    Complete,
    Failed(Status),
    Draining,
    /// The client said more in one message than is allowed.
    TooLarge(Status),
    /// Nobody is left to hear about it.
    Gone,
}

/// Whether the client shows signs of life. While a message of its own waits for the upstream, it need not.
struct Life {
    heard: AtomicBool,
    waiting: AtomicBool,
}

// === impl End ===

impl End {
    fn note(&self, observed: &RequestRecord) {
        match self {
            Self::Complete => observed.code(Code::Ok),
            Self::Gone => observed.end(observe::End::ClientGone),
            Self::Draining => observed.end(observe::End::Drain),
            Self::TooLarge(status) => observed.code(status.code()),
            Self::Failed(status) => {
                observed.code(status.code());
                observed.end(why(status));
            }
        }
    }
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
        let socket = Socket::from_raw_socket(Box::pin(stream), Role::Server, Some(bounds)).await;
        let (mut sink, mut source) = socket.split();
        let (speaker, incoming) = channel();
        // The handshake was the first sign.
        let life = Life {
            heard: AtomicBool::new(true),
            waiting: AtomicBool::new(false),
        };
        let speaking = Speaking {
            sink: &mut sink,
            shape: self.shape,
            life: &life,
            draining: self.draining,
            ping: self.ping_interval,
            observed: &self.observed,
        };
        let listening = Listening {
            speaker: Some(speaker),
            input: self.input,
            index: 0,
            max_bytes: self.max_message_bytes,
            life: &life,
            observed: &self.observed,
        };
        let end = tokio::select! {
            end = speaking.run(self.call, incoming) => end,
            end = listening.run(self.opening, &mut source) => end,
        };
        end.note(&self.observed);
        close(sink, source, &self.catalog, end).await;
    }
}

/// The client's half.
struct Listening<'a> {
    /// `None` once the requests are complete.
    speaker: Option<Speaker>,
    input: Input,
    index: u64,
    max_bytes: usize,
    life: &'a Life,
    observed: &'a RequestRecord,
}

impl Listening<'_> {
    /// Returns when the client is gone or breaks the rules of the conversation.
    async fn run(mut self, opening: Option<Bytes>, source: &mut SplitStream<Socket>) -> End {
        if let (Some(frame), Some(speaker)) = (opening, &self.speaker) {
            let _ = speaker.say(frame).await;
        }
        if matches!(self.input, Input::Nothing) {
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
                Ok(Message::Close(_)) => Err(End::Gone),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(()),
                Err(tungstenite::Error::Capacity(_)) => Err(End::TooLarge(
                    Failure::body_too_large(self.max_bytes).status,
                )),
                Err(_) => Err(End::Gone),
            };
            self.life.waiting.store(false, Ordering::Relaxed);
            if let Err(end) = taken {
                return end;
            }
        }
        End::Gone
    }

    async fn take(&mut self, content: Content, message: Bytes) -> Result<(), End> {
        let Some(speaker) = self.speaker.take() else {
            return Err(End::Failed(excess()));
        };
        self.observed.bytes(message.len() as u64, 0);
        match self.encode(content, &message) {
            Ok(frame) => match speaker.say(frame).await {
                Ok(()) if matches!(self.input, Input::Message(_)) => speaker.end().await,
                // An upstream that has hung up leaves the rest unheard, as it would over any transport.
                Ok(()) | Err(HungUp) => self.speaker = Some(speaker),
            },
            // It becomes the status of the call, behind the responses that are under way.
            Err(failure) => speaker.fail(failure.status).await,
        }
        Ok(())
    }

    fn encode(&mut self, content: Content, bytes: &[u8]) -> Result<Bytes, Failure> {
        let mut frame = Vec::new();
        match &mut self.input {
            Input::Nothing => return Err(excess().into()),
            Input::Chunks(route) => {
                let start = rpc::frame::begin(&mut frame);
                route.encode_upload_chunk(bytes, &mut frame);
                finish_frame_in(&mut frame, start)?;
            }
            Input::Message(encoder) | Input::Messages(encoder) => {
                let message = transcoder::stream::Message {
                    bytes,
                    index: self.index,
                    offset: 0,
                };
                encoder.put(content, &message, &mut frame)?;
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
struct Speaking<'a> {
    sink: &'a mut SplitSink<Socket, Message>,
    shape: Shape,
    life: &'a Life,
    draining: CancellationToken,
    ping: Duration,
    observed: &'a RequestRecord,
}

impl Speaking<'_> {
    /// Returns when the call is over. The next response is read when the client has taken the one before.
    async fn run(self, call: Call, incoming: Incoming) -> End {
        let mut answers = pin!(answers(call, incoming));
        let mut pings = tokio::time::interval(self.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.tick().await;
        loop {
            let said = tokio::select! {
                answer = answers.next() => match answer {
                    Some(Ok(message)) => match self.shape.frame(&message) {
                        Ok(frame) => {
                            self.observed.response_messages(1);
                            self.observed.bytes(0, frame.len() as u64);
                            self.sink.send(frame).await
                        }
                        Err(failure) => return End::Failed(failure.status),
                    },
                    Some(Err(status)) => return End::Failed(status),
                    None => return End::Complete,
                },
                _ = pings.tick() => {
                    if !self.life.shows() {
                        return End::Gone;
                    }
                    self.sink.send(Message::Ping(Bytes::new())).await
                }
                () = self.draining.cancelled() => return End::Draining,
            };
            if said.is_err() {
                return End::Gone;
            }
        }
    }
}

/// The responses of a call, each read when it is asked for.
fn answers(call: Call, incoming: Incoming) -> impl Stream<Item = Result<Bytes, Status>> {
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
    let message = "the requests of this call are complete, and another message came";
    Fault::invalid_argument("REQUESTS_COMPLETE", message).into()
}

// === impl Shape ===

impl Shape {
    fn frame(&self, message: &Bytes) -> Result<Message, Failure> {
        let mut json = Vec::new();
        match self {
            Shape::Protobuf => return Ok(Message::Binary(message.clone())),
            Shape::Raw(view) => return Ok(Message::Binary(view.data(message)?)),
            Shape::Json(view) => view.write_json(message, &mut json)?,
            Shape::Envelope(view) => {
                json.extend_from_slice(b"{\"result\":");
                view.write_json(message, &mut json)?;
                json.push(b'}');
            }
        }
        text(json)
    }
}

fn text(json: Vec<u8>) -> Result<Message, Failure> {
    let text = json.try_into().map(Message::Text);
    text.map_err(|error| chassis::error::internal(anyhow::Error::from(error)).into())
}

// === impl Life ===

impl Life {
    /// Whether anything was heard since this was asked last.
    fn shows(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed)
    }
}

/// Says why it is over, and waits for the client to say that it has heard: a socket that is closed at once may take the last
/// frames with it.
async fn close(
    mut sink: SplitSink<Socket, Message>,
    mut source: SplitStream<Socket>,
    catalog: &Catalog,
    end: End,
) {
    let (code, status) = match end {
        End::Complete => (1000, None),
        End::Gone => (1000, None),
        End::Draining => (1001, Some(stopping())),
        End::TooLarge(status) => (1009, Some(status)),
        End::Failed(status) => (CODES + status.code() as u16, Some(status)),
    };
    let reason = status.as_ref().map_or(Code::Ok, Status::code) as i32;
    let farewell = async {
        if let Some(status) = status {
            let mut json = b"{\"error\":".to_vec();
            write_status(&catalog.schema, &status, &mut json);
            json.push(b'}');
            if let Ok(error) = text(json) {
                sink.send(error).await?;
            }
        }
        let frame = CloseFrame {
            code: code.into(),
            reason: status_code_name(reason).into(),
        };
        sink.send(Message::Close(Some(frame))).await?;
        while source.next().await.is_some_and(|received| received.is_ok()) {}
        Ok::<_, tungstenite::Error>(())
    };
    // Whoever does not answer has been told all the same.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
}
