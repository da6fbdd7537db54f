//! Clients that make the gateway hold bytes: unfinished messages and unread responses, in every
//! protocol, on many connections, beside probes of the same client.

use std::net::SocketAddr;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hostile::{Client, Options, Script, Seen, Step, flag, grpc, kind, setting};
use serde_json::Value;

use crate::protocol::{Extra, Method, Outcome, Protocol, call};
use crate::support::{BAD, Fronted, PATIENCE, answer, get, response};
use crate::unread::flood;

/// A budget of which one client may hold half, and a window that leaves room for probes.
const KEYS: &str = "[listener]\nmax_held_bytes = 1048576\n[client]\nstream_window_bytes = 65536";
const SHARE: u64 = 512 * 1024;

/// The same for responses of which each fills a window of 512 KiB.
const UNREAD_KEYS: &str = "[listener]\nmax_held_bytes = 4194304";
const UNREAD_SHARE: u64 = 2 << 20;
const UNREAD_FIT: usize = 4;

/// Requests, and those of them that fit into the share.
const REQUESTS: usize = 8;
const FIT: usize = 3;

/// Bytes of each request: less than the window of a stream.
const BYTES: usize = 12 * 16 * 1024;

/// An unfinished request, and how its client sees that it was ended for its memory.
struct Shape {
    name: &'static str,
    script: Script,
    is_http2: bool,
    is_ended: fn(&Seen) -> bool,
}

/// An unfinished request in HTTP/1.1 after its head.
fn http1(name: &'static str, head: &str, begin: &[u8]) -> Shape {
    let mut bytes = head.replace('\n', "\r\n").into_bytes();
    bytes.extend(b"host: a\r\n\r\n");
    bytes.extend(begin);
    bytes.resize(bytes.len() + BYTES, b'a');
    Shape {
        name,
        script: vec![Step::Bytes(bytes)],
        is_http2: false,
        is_ended: |seen| {
            let text = seen.text();
            text.starts_with("HTTP/1.1 429") && text.contains("retry-after: 1")
        },
    }
}

/// An unfinished request in HTTP/2.
fn http2(name: &'static str, path: &str, content_type: &str, begin: &[u8]) -> Shape {
    let fields = [
        (":method", &b"POST"[..]),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", path.as_bytes()),
        ("content-type", content_type.as_bytes()),
        ("te", b"trailers"),
    ];
    let data = vec![b'a'; 16 * 1024];
    let times = BYTES / data.len();
    Shape {
        name,
        script: vec![
            // The windows of the server's SETTINGS count from their acknowledgement on.
            Step::Sync,
            grpc::on_connection(kind::SETTINGS, flag::ACK, Vec::new()),
            grpc::headers(&fields),
            grpc::data(begin),
            Step::Repeat(times, vec![grpc::data(&data)]),
        ],
        is_http2: true,
        is_ended: |seen| {
            let is_refused = |(_, status): &(u32, String)| status == "429" || status == "8";
            seen.statuses.iter().chain(&seen.codes).any(is_refused)
        },
    }
}

/// The beginning of a message of 4 MB, with a text that has no end yet.
fn begun(json: bool) -> Vec<u8> {
    let text: &[u8] = match json {
        true => b"{\"padding\":\"",
        false => b"\x12\x80\x80\xf0\x01",
    };
    grpc::framed(0, 4_000_000, text)
}

/// An unfinished message of a WebSocket: fragments, or one long frame.
fn websocket(name: &'static str, is_fragmented: bool) -> Shape {
    let head = "GET /v1/gatherings HTTP/1.1\nconnection: upgrade\nupgrade: websocket\n\
                sec-websocket-version: 13\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\n";
    let mut frames = Vec::new();
    let piece = [b'a'; 16 * 1024];
    let mut begin = |opcode: u8, length: u64| {
        frames.extend([opcode, 0x80 | 127]);
        frames.extend(length.to_be_bytes());
        // A mask of zeros.
        frames.extend([0; 4]);
        frames.extend(piece);
    };
    match is_fragmented {
        true => (0..12).for_each(|at| begin(u8::from(at == 0), piece.len() as u64)),
        false => begin(0x81, 4_000_000),
    }
    let rest = if is_fragmented { 0 } else { 11 * piece.len() };
    frames.resize(frames.len() + rest, b'a');
    let mut shape = http1(name, head, b"");
    shape.script = vec![
        Step::Bytes(
            format!("{head}host: a\n\n")
                .replace('\n', "\r\n")
                .into_bytes(),
        ),
        Step::Bytes(frames),
    ];
    // 4000 and RESOURCE_EXHAUSTED.
    shape.is_ended = |seen| {
        seen.text
            .windows(2)
            .any(|two| two == 4008_u16.to_be_bytes())
    };
    shape
}

fn shapes() -> Vec<Shape> {
    let json = "content-type: application/json\ncontent-length: 4000000\n";
    let rest = |path: &str| format!("POST {path} HTTP/1.1\n{json}");
    let web = "POST /hostile.v1.HostileService/Put HTTP/1.1\n\
               content-type: application/grpc-web+json\ncontent-length: 4000000\n";
    let mut grpc_web = http1("gRPC-Web", web, &begun(true));
    grpc_web.is_ended = |seen| seen.text().contains("grpc-status: 8");
    let put = "/hostile.v1.HostileService/Put";
    let gather = "/hostile.v1.HostileService/Gather";
    vec![
        http1("JSON", &rest("/v1/calls"), b"{\"padding\":\""),
        http1(
            "stream of JSON",
            &rest("/v1/gatherings"),
            b"{\"padding\":\"",
        ),
        http1(
            "multipart",
            "POST /v1/calls HTTP/1.1\ncontent-type: multipart/form-data; boundary=x\n\
             content-length: 4000000\n",
            b"--x\r\ncontent-disposition: form-data; name=\"padding\"\r\n\r\n",
        ),
        http1(
            "Connect",
            &rest(put).replace("1.1\n", "1.1\nconnect-protocol-version: 1\n"),
            b"{\"padding\":\"",
        ),
        grpc_web,
        http2(
            "JSON over HTTP/2",
            "/v1/calls",
            "application/json",
            b"{\"padding\":\"",
        ),
        http2("gRPC", put, "application/grpc", &begun(false)),
        http2("gRPC with JSON", put, "application/grpc+json", &begun(true)),
        http2("gRPC stream", gather, "application/grpc+json", &begun(true)),
        websocket("WebSocket", false),
        websocket("WebSocket in fragments", true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_fit_into_the_share_of_their_client() {
    for shape in shapes() {
        let fronted = Fronted::with_keys(answer(BAD), Options::default(), KEYS).await;
        let mut clients = Vec::new();
        for _ in 0..REQUESTS {
            let mut client = match shape.is_http2 {
                true => Client::http2(fronted.address, &[]).await.unwrap(),
                false => Client::bytes(fronted.address).await.unwrap(),
            };
            client.play(&shape.script, 1).await.unwrap();
            clients.push(client);
        }
        let ended = wait(&mut clients, shape.is_ended).await;
        assert!(
            ended >= REQUESTS - FIT,
            "{}: {ended} have ended",
            shape.name
        );
        check(fronted.address, SHARE, shape.name).await;
        drop(clients);
        released(fronted.address, shape.name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_of_one_connection_fit_as_well() {
    let shape = http2("", "/v1/calls", "application/json", b"{\"padding\":\"");
    let fronted = Fronted::with_keys(answer(BAD), Options::default(), KEYS).await;
    let mut client = Client::http2(fronted.address, &[]).await.unwrap();
    // As many as the window of the connection allows.
    const REQUESTS: usize = 5;
    for stream in (1..).step_by(2).take(REQUESTS) {
        let script = &shape.script[if stream == 1 { 0 } else { 2 }..];
        client.play(script, stream).await.unwrap();
    }
    let is_over = |seen: &Seen| seen.statuses.len() >= REQUESTS - FIT;
    let seen = client.until(is_over).await;
    assert!(seen.is_some(), "{:?}", client.seen());
    check(fronted.address, SHARE, "one connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_fit_into_the_share_of_their_client() {
    let fronted = Fronted::with_keys(flood(), Options::default(), UNREAD_KEYS).await;
    fronted.upstream.close_gate();
    let message = grpc::message(&response(BAD));
    let watch = http2(
        "",
        "/hostile.v1.HostileService/Watch",
        "application/grpc",
        b"",
    );
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        let settings = [(setting::INITIAL_WINDOW_SIZE, 0)];
        let mut client = Client::http2(fronted.address, &settings).await.unwrap();
        let script = [&watch.script[..3], &[grpc::last_data(&message)]].concat();
        client.play(&script, 1).await.unwrap();
        clients.push(client);
    }
    // A client without a window is not told, which would take one.
    until_memory(fronted.address, "unread", |memory| {
        let ended = memory["rejected"]["over_share"].as_u64();
        ended >= Some((REQUESTS - UNREAD_FIT) as u64)
    })
    .await;
    check(fronted.address, UNREAD_SHARE, "unread").await;
    drop(clients);
    released(fronted.address, "unread").await;
}

/// Waits until so many requests have ended that the rest fits; returns how many.
async fn wait(clients: &mut [Client], is_ended: fn(&Seen) -> bool) -> usize {
    let ends = clients.iter_mut().map(|client| client.until(is_ended));
    let ends: FuturesUnordered<_> = ends.collect();
    let first = ends.take(REQUESTS - FIT);
    first.filter_map(async |end| end).count().await
}

/// Checks that the share is kept, and that the same client's small calls go on.
async fn check(gateway: SocketAddr, share: u64, name: &str) {
    let held = memory(gateway).await["held_bytes"].as_u64().unwrap();
    assert!(held <= share, "{name}: {held} bytes are held");
    for protocol in Protocol::ALL {
        let outcome = call(gateway, protocol, Method::Put, &["good"], &Extra::default()).await;
        assert_eq!(outcome, Outcome::good("good"), "{name}: {protocol:?}");
    }
}

/// Waits until nothing is held.
pub(crate) async fn released(gateway: SocketAddr, name: &str) {
    until_memory(gateway, name, |memory| memory["held_bytes"] == 0).await;
}

async fn until_memory(gateway: SocketAddr, name: &str, is_it: impl Fn(&Value) -> bool) {
    let waited = async {
        while !is_it(&memory(gateway).await) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    assert!(waited.is_ok(), "{name}: {}", memory(gateway).await);
}

async fn memory(gateway: SocketAddr) -> Value {
    let page: Value = serde_json::from_str(&get(gateway, "/-/limits").await).unwrap();
    page["memory"].clone()
}
