//! One call of each method of the stranger's contract, in each protocol, for the tenant 7.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use http_body_util::Full;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::compression::gzip;
use crate::support::messages::{CountRequest, FetchRequest, GreetRequest, StoreRequest};
use crate::support::{Gateway, Reply, soon};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Protocol {
    Rest,
    Grpc,
    GrpcJson,
    GrpcWeb,
    Connect,
    WebSocket,
}

pub(super) const PROTOCOLS: [Protocol; 6] = [
    Protocol::Rest,
    Protocol::Grpc,
    Protocol::GrpcJson,
    Protocol::GrpcWeb,
    Protocol::Connect,
    Protocol::WebSocket,
];

/// The reasons that are looked for.
const REASONS: [&str; 6] = [
    "CREDENTIALS_REQUIRED",
    "MISSING_ROLE",
    "MISSING_SCOPE",
    "CONDITION_NOT_MET",
    "NO_ACCESS_RULE",
    "INVALID_ACCESS_RULE",
];

/// All that a caller has seen of an answer.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) http: u16,
    /// That of the protocols that have one.
    pub(super) grpc_status: Option<i32>,
    pub(super) is_unary: bool,
    /// Headers, body, and both once more without base64.
    seen: String,
}

impl Outcome {
    pub(super) fn of(reply: &Reply, is_unary: bool) -> Self {
        let body = String::from_utf8_lossy(&reply.body);
        let trailer = body.split("grpc-status: ").nth(1);
        let in_body = trailer.and_then(|rest| rest.lines().next()?.trim().parse().ok());
        let mut seen = format!("{:?}\n{body}", reply.headers);
        let in_head = reply.headers.get("grpc-status");
        let in_head = in_head.and_then(|value| value.to_str().ok()?.parse().ok());
        let decoded = decoded(&seen);
        seen.push_str(&decoded);
        Self {
            http: reply.status.as_u16(),
            grpc_status: in_head.or(in_body),
            is_unary,
            seen,
        }
    }

    /// The reason of a denial, or `OK` if there is none and nothing failed.
    pub(super) fn reason(&self) -> &'static str {
        let mut reasons = REASONS.into_iter();
        let found = reasons.find(|reason| self.seen.contains(reason));
        let has_failed = self.http >= 400
            || self.grpc_status.unwrap_or(0) != 0
            || self.seen.contains("\"error\"");
        found.unwrap_or(match has_failed {
            true => "FAILED",
            false => "OK",
        })
    }
}

/// Every part of a text that is base64, decoded: details of errors are encoded in most protocols.
fn decoded(text: &str) -> String {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, config);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let parts = text.split(|c| !is_part(c)).filter(|part| part.len() > 30);
    let decoded = parts.filter_map(|part| engine.decode(part).ok());
    decoded
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// Makes one call.
pub(super) async fn call(
    gateway: &Gateway,
    method: &str,
    protocol: Protocol,
    bearer: Option<&str>,
) -> Outcome {
    if protocol == Protocol::WebSocket {
        return converse(gateway, method, bearer).await;
    }
    let is_unary = matches!(method, "Greet" | "Fetch");
    let (path, content_type, body) = match protocol {
        Protocol::Rest => {
            let (path, body) = rest(method);
            (path.to_owned(), "application/json", body.to_vec())
        }
        Protocol::Grpc => (rpc(method), "application/grpc", framed(&proto(method))),
        Protocol::GrpcJson => (rpc(method), "application/grpc+json", framed(json(method))),
        Protocol::GrpcWeb => (
            rpc(method),
            "application/grpc-web+proto",
            framed(&proto(method)),
        ),
        _ if is_unary => (rpc(method), "application/json", json(method).to_vec()),
        _ => (
            rpc(method),
            "application/connect+json",
            framed(json(method)),
        ),
    };
    let is_get = protocol == Protocol::Rest && body.is_empty();
    let mut request = match is_get {
        true => Request::get(path),
        false => Request::post(path).header("content-type", content_type),
    };
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    Outcome::of(&gateway.send(request).await, is_unary)
}

fn rpc(method: &str) -> String {
    format!("/stranger.v1.StrangerService/{method}")
}

fn rest(method: &str) -> (&'static str, &'static [u8]) {
    match method {
        "Greet" => ("/v1/greetings/7", b""),
        "Count" => ("/v1/counts/7", b""),
        "Store" => ("/v1/files/7", b"{}"),
        "Fetch" => ("/v1/fetches/7", b""),
        "Chat" => ("/v1/chats", br#"{"name":"7"}"#),
        "Gather" => ("/v1/gatherings/7", b"{}"),
        other => panic!("{other} has no call"),
    }
}

fn json(method: &str) -> &'static [u8] {
    match method {
        "Count" => br#"{"to":7}"#,
        _ => br#"{"name":"7"}"#,
    }
}

fn proto(method: &str) -> Vec<u8> {
    let name = "7".to_owned();
    match method {
        "Count" => CountRequest {
            to: 7,
            ..Default::default()
        }
        .encode_to_vec(),
        "Store" => StoreRequest {
            name,
            content: None,
        }
        .encode_to_vec(),
        "Fetch" => FetchRequest { name }.encode_to_vec(),
        _ => GreetRequest {
            name,
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// A frame with a compressed message.
pub(super) fn gzipped(message: &[u8]) -> Vec<u8> {
    let mut frame = framed(&gzip(message));
    frame[0] = 1;
    frame
}

/// Makes a call over a WebSocket, and reads it to its end.
async fn converse(gateway: &Gateway, method: &str, bearer: Option<&str>) -> Outcome {
    let (path, body) = rest(method);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let url = format!("ws://{}{path}", gateway.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(bearer) = bearer {
        let bearer = HeaderValue::try_from(bearer).unwrap();
        request.headers_mut().insert("authorization", bearer);
    }
    let mut socket = match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            return Outcome {
                http: response.status().as_u16(),
                grpc_status: None,
                is_unary: false,
                seen: String::from_utf8(body).unwrap(),
            };
        }
        Err(error) => panic!("{error}"),
    };
    let mut said: Vec<Message> = Vec::new();
    if matches!(method, "Chat" | "Gather") {
        said.push(Message::text(String::from_utf8_lossy(body).into_owned()));
    }
    if !body.is_empty() {
        said.push(Message::text(""));
    }
    for message in said {
        // It may be closed already.
        let _ = socket.send(message).await;
    }
    let mut seen = String::new();
    while let Some(Ok(message)) = soon("a message", socket.next()).await {
        match message {
            Message::Text(text) => seen.push_str(&text),
            Message::Close(_) => break,
            _ => {}
        }
    }
    Outcome {
        http: 101,
        grpc_status: None,
        is_unary: false,
        seen,
    }
}
