//! Requests that are malformed in HTTP/2, frame by frame.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::stranger::Upstream;
use crate::support::{Gateway, soon};

/// One stream of HTTP/2 and what becomes of it.
struct Stream {
    name: &'static str,
    fields: &'static [(&'static str, &'static [u8])],
    body: &'static [u8],
    outcome: Outcome,
}

/// The end of an HTTP/2 stream.
#[derive(Debug, PartialEq)]
enum Outcome {
    Status(u16),
    /// RST_STREAM or GOAWAY with this code (RFC 9113 §7).
    Refused(u32),
}

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;

const fn stream(
    name: &'static str,
    fields: &'static [(&'static str, &'static [u8])],
    body: &'static [u8],
    outcome: Outcome,
) -> Stream {
    Stream {
        name,
        fields,
        body,
        outcome,
    }
}

/// The pseudo-header fields of a POST, then other ones.
macro_rules! fields {
    ($($field:expr),*) => {
        &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/v1/greetings"), $($field),*]
    };
}

const BODY: &[u8] = b"{\"name\":\"a\"}";

#[rustfmt::skip]
const HTTP2: &[Stream] = &[
    // RFC 9113 §8.1.1 and §8.2: what is malformed is a stream error.
    stream("a body", fields!(), BODY, Outcome::Status(200)),
    stream("a length that fits", fields!(("content-length", b"12")), BODY, Outcome::Status(200)),
    stream("a length above the body's", fields!(("content-length", b"13")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a length below the body's", fields!(("content-length", b"11")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a length that is no number", fields!(("content-length", b"x")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("two lengths", fields!(("content-length", b"12"), ("content-length", b"5")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("connection", fields!(("connection", b"close")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("transfer-encoding", fields!(("transfer-encoding", b"chunked")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("keep-alive", fields!(("keep-alive", b"x")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("proxy-connection", fields!(("proxy-connection", b"x")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("upgrade", fields!(("upgrade", b"h2c")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("te", fields!(("te", b"gzip")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("te: trailers", fields!(("te", b"trailers")), BODY, Outcome::Status(200)),
    stream("a name with a capital", fields!(("X-a", b"b")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a name with a space", fields!(("x a", b"b")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a name with CRLF", fields!(("x: a\r\ny", b"b")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a value with CRLF", fields!(("x", b"a\r\nTransfer-Encoding: chunked")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a value with LF", fields!(("x", b"a\nb")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a value with NUL", fields!(("x", b"a\0b")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    // RFC 9113 §8.3: pseudo-header fields.
    stream("a pseudo-header field behind others", &[(":method", b"POST"), (":scheme", b"http"), ("x", b"y"), (":path", b"/v1/greetings")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a pseudo-header field twice", fields!((":path", b"/v1/files")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a pseudo-header field of responses", fields!((":status", b"200")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a pseudo-header field that does not exist", fields!((":proxy", b"x")), BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("no path", &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"a")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("an empty path", &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("no method", &[(":scheme", b"http"), (":authority", b"a"), (":path", b"/v1/greetings")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("no scheme", &[(":method", b"POST"), (":authority", b"a"), (":path", b"/v1/greetings")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a request line in the path", &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/v1/greetings HTTP/1.1\r\nX: y")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    stream("a request line in the method", &[(":method", b"POST / HTTP/1.1\r\nX: y"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/v1/greetings")], BODY, Outcome::Refused(PROTOCOL_ERROR)),
    // The host: RFC 9113 §8.3.1.
    stream("a host that is the authority", fields!(("host", b"a")), BODY, Outcome::Status(200)),
    stream("a host that is another one", fields!(("host", b"b")), BODY, Outcome::Status(400)),
    stream("two hosts", fields!(("host", b"a"), ("host", b"a")), BODY, Outcome::Status(400)),
    stream("an authority with a user", &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"x@a"), (":path", b"/v1/greetings")], BODY, Outcome::Status(400)),
    stream("a tunnel", &[(":method", b"CONNECT"), (":authority", b"a:80")], b"", Outcome::Status(501)),
];

#[tokio::test]
async fn http2_vectors() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut wrong = Vec::new();
    for vector in HTTP2 {
        let before = upstream.greeted().len();
        let outcome = outcome(&gateway, vector).await;
        let greeted = upstream.greeted().split_off(before);
        let expected: &[&str] = if vector.outcome == Outcome::Status(200) {
            &["a"]
        } else {
            &[]
        };
        if outcome != vector.outcome || greeted != expected {
            wrong.push(format!("{}: {outcome:?}, greeted {greeted:?}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn outcome(gateway: &Gateway, vector: &Stream) -> Outcome {
    let mut block = Vec::new();
    for (name, value) in vector.fields {
        // A literal field that is not indexed, with lengths below 127 (RFC 7541 §6.2.2).
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(*value);
    }
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    push_frame(&mut sent, SETTINGS, 0, 0, &[]);
    push_frame(&mut sent, HEADERS, END_HEADERS, 1, &block);
    push_frame(&mut sent, DATA, END_STREAM, 1, vector.body);
    let mut connection = TcpStream::connect(gateway.address).await.unwrap();
    connection.write_all(&sent).await.unwrap();
    loop {
        let mut head = [0; 9];
        soon("a frame", connection.read_exact(&mut head))
            .await
            .unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        soon("a payload", connection.read_exact(&mut payload))
            .await
            .unwrap();
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            HEADERS => return Outcome::Status(status(&payload)),
            RST_STREAM => return Outcome::Refused(code(0)),
            GOAWAY => return Outcome::Refused(code(4)),
            _ => {}
        }
    }
}

/// The types and flags of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn push_frame(sent: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    sent.extend(&length[1..]);
    sent.extend([kind, flags]);
    sent.extend(stream.to_be_bytes());
    sent.extend(payload);
}

/// The status that a header block begins with: indexed in the static table, or a literal (RFC 7541
/// §6 and Appendix A).
fn status(block: &[u8]) -> u16 {
    // Digits of literals are in the code of Huffman: 0, 1 and 2 have five bits, others six, and 501
    // is 0x6c01.
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x48, 0x82, 0x6c, 0x01, ..] => 501,
        other => panic!("a status that this test does not know: {:x?}", &other[..6]),
    }
}
