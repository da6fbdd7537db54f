//! One call in each protocol that the gateway serves, and its end as a strict client of that
//! protocol sees it.

mod read;

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hostile::grpc;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{PATIENCE, response};

/// A protocol that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    GrpcWeb,
    Connect,
    Rest,
    WebSocket,
}

/// A method of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Watch,
    Gather,
}

/// The result of a call: the texts of its messages, and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) texts: Vec<String>,
    pub(crate) end: End,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A gRPC code, 0 for OK.
    Code(i32),
    /// The response was cut off, and the client can tell.
    Aborted,
    /// There was no end within the bound.
    Hung,
    /// A response that breaks the rules of the protocol.
    Malformed(&'static str),
}

/// A response as it arrived.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// Whether the body ended in order.
    pub(crate) is_whole: bool,
}

impl Protocol {
    pub(crate) const ALL: [Self; 5] = [
        Self::Grpc,
        Self::GrpcWeb,
        Self::Connect,
        Self::Rest,
        Self::WebSocket,
    ];
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Self::Get => "/v1/calls/good",
            Self::Put => "/v1/calls",
            Self::Watch => "/v1/watches",
            Self::Gather => "/v1/gatherings",
        }
    }

    fn is_streaming(self) -> bool {
        matches!(self, Self::Watch | Self::Gather)
    }
}

impl Outcome {
    fn failed(end: End) -> Self {
        let texts = Vec::new();
        Self { texts, end }
    }

    /// Returns the outcome of a good call with one message.
    pub(crate) fn good(text: &str) -> Self {
        let texts = vec![text.to_owned()];
        Self {
            texts,
            end: End::Code(0),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Code(code) => write!(formatter, "{code}")?,
            End::Aborted => formatter.write_str("aborted")?,
            End::Hung => formatter.write_str("hung")?,
            End::Malformed(why) => write!(formatter, "malformed ({why})")?,
        }
        match self.texts.len() {
            0 => Ok(()),
            count => write!(formatter, " after {count}"),
        }
    }
}

/// Sends a request with these messages and returns what came of it, within the bound.
pub(crate) async fn call(
    gateway: SocketAddr,
    protocol: Protocol,
    method: Method,
    names: &[&str],
    extra: &Extra,
) -> Outcome {
    let called = async {
        match protocol {
            Protocol::WebSocket => websocket(gateway, method, names, extra).await,
            _ => http(gateway, protocol, method, names, extra).await,
        }
    };
    let called = tokio::time::timeout(PATIENCE, called).await;
    called.unwrap_or_else(|_| Outcome::failed(End::Hung))
}

/// Additions to a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) deadline_ms: Option<u32>,
    /// Bytes of padding in the last message.
    pub(crate) padding: usize,
}

async fn http(
    gateway: SocketAddr,
    protocol: Protocol,
    method: Method,
    names: &[&str],
    extra: &Extra,
) -> Outcome {
    let messages: Vec<Vec<u8>> = names.iter().map(|name| request(name, extra)).collect();
    let frames: Vec<u8> = messages.iter().flat_map(|one| grpc::message(one)).collect();
    let (content_type, body) = match protocol {
        Protocol::Grpc => ("application/grpc", frames),
        Protocol::GrpcWeb => ("application/grpc-web+proto", frames),
        Protocol::Connect if method.is_streaming() => ("application/connect+proto", frames),
        Protocol::Connect => ("application/proto", messages.concat()),
        Protocol::Rest | Protocol::WebSocket if method == Method::Gather => {
            let lines = names.iter().map(|name| format!("{}\n", json(name, extra)));
            ("application/x-ndjson", lines.collect::<String>().into())
        }
        Protocol::Rest | Protocol::WebSocket => {
            ("application/json", json(names[0], extra).into_bytes())
        }
    };
    let path = match protocol {
        Protocol::Rest => method.path().to_owned(),
        _ => format!("/hostile.v1.HostileService/{method:?}"),
    };
    let verb = match (protocol, method) {
        (Protocol::Rest, Method::Get) => "GET",
        _ => "POST",
    };
    let mut request = Request::builder()
        .method(verb)
        .uri(format!("http://{gateway}{path}"))
        .header("content-type", content_type);
    if protocol == Protocol::Grpc {
        request = request.header("te", "trailers");
    }
    if protocol == Protocol::Rest && method == Method::Watch {
        request = request.header("accept", "application/x-ndjson");
    }
    if let Some(ms) = extra.deadline_ms {
        request = match protocol {
            Protocol::Connect => request.header("connect-timeout-ms", ms),
            Protocol::Rest => {
                request.header("x-server-timeout", (f64::from(ms) / 1000.0).to_string())
            }
            _ => request.header("grpc-timeout", format!("{ms}m")),
        };
    }
    let body = if verb == "GET" { Vec::new() } else { body };
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    match send(gateway, request).await {
        Some(raw) => read::outcome(protocol, method.is_streaming(), &raw),
        None => Outcome::failed(End::Aborted),
    }
}

/// Sends a request on a connection of HTTP/2; `None` if there was no response.
pub(crate) async fn send(gateway: SocketAddr, request: Request<Full<Bytes>>) -> Option<Raw> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let (head, mut body) = sender.send_request(request).await.ok()?.into_parts();
    let mut raw = Raw {
        status: head.status.as_u16(),
        head: head.headers,
        body: Vec::new(),
        trailers: HeaderMap::new(),
        is_whole: true,
    };
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => raw.body.extend(data),
            Ok(Err(frame)) => raw.trailers = frame.into_trailers().unwrap(),
            Err(_) => raw.is_whole = false,
        }
    }
    Some(raw)
}

async fn websocket(gateway: SocketAddr, method: Method, names: &[&str], extra: &Extra) -> Outcome {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let url = format!("ws://{gateway}{}", method.path());
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(url)
            .unwrap();
    if let Some(ms) = extra.deadline_ms {
        let seconds = (f64::from(ms) / 1000.0).to_string();
        let headers = request.headers_mut();
        headers.insert("x-server-timeout", seconds.parse().unwrap());
    }
    let Ok((mut socket, _)) = tokio_tungstenite::client_async(request, stream).await else {
        return Outcome::failed(End::Malformed("the handshake failed"));
    };
    let sent = names.iter().map(|name| json(name, extra));
    let end = (method == Method::Gather).then(String::new);
    for message in sent.chain(end) {
        // A call may be over before its last message.
        let _ = socket.send(Message::text(message)).await;
    }
    let mut read = read::WebSocket::default();
    while let Some(Ok(message)) = socket.next().await {
        read.message(message);
    }
    read.outcome()
}

fn request(name: &str, extra: &Extra) -> Vec<u8> {
    let mut message = response(name);
    if extra.padding > 0 {
        message.push(0x12);
        let mut left = extra.padding;
        while left >= 128 {
            message.push((left % 128) as u8 | 128);
            left /= 128;
        }
        message.push(left as u8);
        message.resize(message.len() + extra.padding, b'x');
    }
    message
}

fn json(name: &str, extra: &Extra) -> String {
    match extra.padding {
        0 => json!({ "name": name }).to_string(),
        bytes => json!({ "name": name, "padding": "x".repeat(bytes) }).to_string(),
    }
}
