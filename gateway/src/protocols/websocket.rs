//! WebSocket (RFC 6455, and over HTTP/2 RFC 8441): one connection is one call, of any kind, with a
//! message in each frame.
//!
//! | frame of the client | means |
//! |---|---|
//! | text | one request message in JSON |
//! | empty text | the requests are complete; the responses go on (a half-close) |
//! | binary | one request message in protobuf; of an upload, its next bytes |
//! | close | before the end of the call: cancelled; a truncated stream is an error |
//!
//! Responses are text frames of JSON, binary with `alt=proto` and of `google.api.HttpBody`. An
//! error is a text frame `{"error": google.rpc.Status}`, and the close code says it again: 1000 for
//! OK, 1001 when the gateway drains, 1009 for a message above the limit, and 4000 + the gRPC code
//! otherwise (4002 for a code that gRPC does not define). A client that breaks the protocol gets
//! only a close code: 1002, or 1007 for a text that is not UTF-8 (RFC 6455 §7.4.1); one that closes
//! gets its own code back. Path and query bind to the first message, as in every request stream.

mod closing;
mod conversation;
mod handshake;
mod partial;
mod requests;
mod settings;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::observe;
use chassis::server::Tunnel;
use futures::FutureExt;
use http::request::Parts;
use http::{Method, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_tungstenite::WebSocketStream;
use tonic::body::Body;
use transcoder::{Match, MethodKind, RouteError};

use super::RouteTarget;
use super::rest::{self, Exchange, MessageEncoder};
use crate::api::Catalog;
use crate::call::{self, Call};
use crate::context::Context;
use crate::failure::Failure;

use conversation::{Conversation, ResponseFormat};
use partial::CountedReads;

pub use settings::WebSocketSettings;

pub(super) use handshake::is_asked_for;

/// The methods whose routes a WebSocket may take, since its own handshake is always GET. Of several
/// at one path, that of the method that streams most is taken.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// A WebSocket whose writes time out.
type Socket = WebSocketStream<CountedReads<Pin<Box<TimeoutStream<TokioIo<Upgraded>>>>>>;

/// The input that is still expected once path and query are encoded.
enum RequestInput {
    /// They say all.
    Nothing,
    /// The one message of a method that takes one.
    Message(MessageEncoder),
    Messages(MessageEncoder),
    /// Bytes of an upload.
    Chunks(Arc<transcoder::Route>),
}

/// Checks the handshake, and makes the head that of a request for the route.
///
/// # Errors
/// The request is no handshake, or has no route.
pub(super) fn prepare(
    catalog: &Catalog,
    settings: &WebSocketSettings,
    head: &mut Parts,
) -> Result<(), Failure> {
    handshake::check(head, &settings.allowed_origins)?;
    handshake::take_bearer(head);
    head.method = method(catalog, head)?;
    Ok(())
}

/// Answers the handshake. The call begins with it, and what goes wrong before it is answered by
/// HTTP alone.
pub(crate) async fn serve(
    context: &Context,
    settings: &WebSocketSettings,
    catalog: &Arc<Catalog>,
    target: &RouteTarget<'_, '_>,
    deadline: Option<Instant>,
    head: &Parts,
) -> Response<Body> {
    let upgrade = head.extensions.get::<OnUpgrade>().cloned();
    let begun = begin(context, settings, catalog, target, deadline, head).await;
    let conversation = match begun {
        Ok(conversation) => conversation,
        Err(failure) => return rest::refuse(context, catalog, head, failure),
    };
    let record = observe::current().upgrade();
    let tunnel = head.extensions.get::<Tunnel>().cloned();
    // The drain waits for the socket, and so for this.
    tokio::spawn(async move {
        // They stay open for as long as the conversation.
        let (_record, _tunnel) = (record, tunnel);
        let Some(upgrade) = upgrade else { return };
        match upgrade.await {
            Ok(socket) => conversation.run(socket).await,
            Err(error) => tracing::debug!(%error, "client left during the handshake"),
        }
    });
    handshake::accept(head)
}

async fn begin(
    context: &Context,
    settings: &WebSocketSettings,
    catalog: &Arc<Catalog>,
    target: &RouteTarget<'_, '_>,
    deadline: Option<Instant>,
    head: &Parts,
) -> Result<Conversation, Failure> {
    let mut call = Call {
        // A conversation about one message may take its time, too.
        lease: head.extensions.get().cloned(),
        ..rest::call(context, catalog, target, deadline, head)?
    };
    let exchange = Exchange::new(context, catalog, &target.matched, head)?;
    let (opening, input) = input(&exchange, &call).await?;
    if let Some(frame) = &opening {
        let deadline = call.deadline;
        call::within(deadline, call.admit(frame).boxed()).await?;
    }
    Ok(Conversation {
        call,
        opening,
        input,
        shape: shape(&exchange)?,
        is_single: matches!(
            target.matched.method().kind(),
            MethodKind::Unary | MethodKind::ClientStreaming
        ),
        catalog: catalog.clone(),
        ping_interval: Duration::from_millis(settings.ping_interval_ms),
        max_message_bytes: context.max_body_bytes(),
        body_pace: context.body_pace(),
        holding: call::holding(&head.extensions),
        response_window: context.response_window(),
        response_stall_timeout: context.response_stall_timeout(),
        draining: context.draining().clone(),
        observed: observe::current(),
    })
}

fn method(catalog: &Catalog, head: &Parts) -> Result<Method, Failure> {
    let found = |method: &Method| catalog.schema.route(method, head.uri.path());
    // A route without a body would leave the client of a request stream nothing to say.
    let rank = |matched: &Match<'_>| match matched.method().kind() {
        MethodKind::Unary => 0,
        MethodKind::ServerStreaming => 1,
        MethodKind::ClientStreaming | MethodKind::BidiStreaming => {
            1 + u8::from(matched.route().takes_body())
        }
    };
    let matching: Vec<_> = METHODS
        .iter()
        .filter_map(|method| Some((method, found(method).ok()?)))
        .collect();
    // The last of equals is the maximum, hence the reversal.
    match matching
        .iter()
        .rev()
        .max_by_key(|(_, matched)| rank(matched))
    {
        Some((method, _)) => Ok((*method).clone()),
        None if !catalog.complete => Err(Failure::incomplete()),
        None => {
            let error = found(&Method::GET).err().unwrap_or(RouteError::NotFound);
            Err(Failure::unrouted(error, head.uri.query()))
        }
    }
}

/// Encodes the frame of path and query, and returns the input still expected. Errors are found
/// here, before the upgrade.
async fn input(
    exchange: &Exchange<'_>,
    call: &Call,
) -> Result<(Option<Bytes>, RequestInput), Failure> {
    let route = exchange.matched.route();
    if !route.takes_body() {
        let whole = exchange.request_frame(Body::empty());
        let frame = call::within(call.deadline, whole).await?;
        return Ok((Some(frame), RequestInput::Nothing));
    }
    if route.is_upload() {
        return Ok((
            Some(exchange.upload_head(exchange.head.uri.query(), "")?),
            RequestInput::Chunks(route.clone()),
        ));
    }
    exchange.matched.bindings(exchange.head.uri.query())?;
    let encoder = MessageEncoder::of(exchange);
    let input = match exchange.matched.method().kind() {
        MethodKind::Unary | MethodKind::ServerStreaming => RequestInput::Message(encoder),
        MethodKind::ClientStreaming | MethodKind::BidiStreaming => RequestInput::Messages(encoder),
    };
    Ok((None, input))
}

fn shape(exchange: &Exchange<'_>) -> Result<ResponseFormat, Failure> {
    let view = exchange.view.clone();
    if exchange.matched.route().is_download() {
        return Ok(ResponseFormat::Raw(view));
    }
    match exchange.parameters.alt.as_deref().unwrap_or_default() {
        "" | "json" | "ndjson" if exchange.context.dialect().has_envelope() => {
            Ok(ResponseFormat::Envelope(view))
        }
        "" | "json" | "ndjson" => Ok(ResponseFormat::Json(view)),
        "proto" if view.is_partial() => Err(Failure::fields_of_protobuf()),
        "proto" => Ok(ResponseFormat::Protobuf),
        _ => Err(Failure::not_acceptable("json, proto")),
    }
}
