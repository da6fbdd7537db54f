//! Request smuggling: what two readers of HTTP could read differently, the answer to each, and what
//! the upstream saw of it.
//!
//! Nothing is ever passed on as it came: the upstream gets a gRPC call that the gateway has
//! written. So the danger is a proxy in front that finds another end of a request than the gateway
//! does, and reaches a path that it meant to keep closed.

mod http2;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::stranger::Upstream;
use crate::support::{Gateway, soon};

/// The bytes of one connection, the statuses before it is closed, and the names that were greeted.
struct Vector {
    name: &'static str,
    sent: &'static [u8],
    statuses: &'static [u16],
    greeted: &'static [&'static str],
}

const fn vector(
    name: &'static str,
    sent: &'static [u8],
    statuses: &'static [u16],
    greeted: &'static [&'static str],
) -> Vector {
    Vector {
        name,
        sent,
        statuses,
        greeted,
    }
}

macro_rules! post {
    ($headers:literal, $body:literal) => {
        concat!(
            "POST /v1/greetings HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
            $headers,
            "\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

/// [`post`] on a connection that could go on.
macro_rules! keep {
    ($headers:literal, $body:literal) => {
        concat!(
            "POST /v1/greetings HTTP/1.1\r\nHost: a\r\n",
            $headers,
            "\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

macro_rules! get {
    ($line:literal, $headers:literal) => {
        concat!($line, "\r\nConnection: close\r\n", $headers, "\r\n").as_bytes()
    };
}

/// [`get`] on a connection that could go on.
macro_rules! keep_get {
    ($line:literal, $headers:literal) => {
        concat!($line, "\r\nHost: a\r\n", $headers).as_bytes()
    };
}

#[rustfmt::skip]
const HTTP1: &[Vector] = &[
    // The end of a body: RFC 9112 §6.
    vector("a length", post!("Content-Length: 12", "{\"name\":\"a\"}"), &[200], &["a"]),
    vector("chunked", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[200], &["a"]),
    vector("a length, then chunked: the chunks count and the connection ends", keep!("Content-Length: 5\r\nTransfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\nGET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200], &["a"]),
    vector("chunked, then a length: the chunks count and the connection ends", keep!("Transfer-Encoding: chunked\r\nContent-Length: 5", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\nGET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200], &["a"]),
    vector("a length that ends after the chunks do", keep!("Content-Length: 53\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200], &[""]),
    vector("two lengths that differ", post!("Content-Length: 12\r\nContent-Length: 13", "{\"name\":\"a\"}"), &[400], &[]),
    vector("one length twice, as RFC 9110 §8.6 allows", post!("Content-Length: 12\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[200], &["a"]),
    vector("a list of lengths", post!("Content-Length: 12, 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a length with a sign", post!("Content-Length: +12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a negative length", post!("Content-Length: -1", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a length in hex", post!("Content-Length: 0xc", "{\"name\":\"a\"}"), &[400], &[]),
    vector("two numbers in one length", post!("Content-Length: 12 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a length above 64 bits", post!("Content-Length: 99999999999999999999", "{\"name\":\"a\"}"), &[400], &[]),
    vector("an empty length", post!("Content-Length: ", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a body that is shorter than its length", keep!("Content-Length: 13", "{\"name\":\"a\"}"), &[408], &[]),
    vector("a body that is longer than its length: the rest is the next request", keep!("Content-Length: 12", "{\"name\":\"a\"}GET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200, 200], &["a", "smuggled"]),
    vector("no length and no chunks: there is no body", keep!("X: a", "GET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200, 200], &["", "smuggled"]),
    vector("a body of a GET is not the next request", keep_get!("GET /v1/greetings/a HTTP/1.1", "Content-Length: 48\r\n\r\nGET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[400], &[]),
    vector("another coding around the chunks", post!("Transfer-Encoding: gzip, chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[501], &[]),
    vector("chunks twice", post!("Transfer-Encoding: chunked, chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[501], &[]),
    vector("chunks in two fields", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[501], &[]),
    vector("another coding after the chunks", post!("Transfer-Encoding: chunked, identity", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("another coding after the chunks in a field of its own", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("no coding", post!("Transfer-Encoding: identity", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a coding that looks like chunked", post!("Transfer-Encoding: xchunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a vertical tab before chunked", post!("Transfer-Encoding: \x0bchunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a quoted chunked", post!("Transfer-Encoding: \"chunked\"", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("chunked in other letters", post!("Transfer-Encoding: ChUnKeD", "c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[200], &["a"]),
    vector("chunked in HTTP/1.0", b"POST /v1/greetings HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], &[]),
    // Chunks: RFC 9112 §7.1.
    vector("a chunk extension", post!("Transfer-Encoding: chunked", "c;a=b\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[200], &["a"]),
    vector("a chunk size above 64 bits", post!("Transfer-Encoding: chunked", "fffffffffffffffff\r\n{\"name\":\"a\"}"), &[400], &[]),
    vector("a negative chunk size", post!("Transfer-Encoding: chunked", "-c\r\n{\"name\":\"a\"}"), &[400], &[]),
    vector("a chunk size with a prefix", post!("Transfer-Encoding: chunked", "0xc\r\n{\"name\":\"a\"}"), &[400], &[]),
    vector("no chunk size", post!("Transfer-Encoding: chunked", "\r\n{\"name\":\"a\"}"), &[400], &[]),
    vector("a chunk that is longer than its size", post!("Transfer-Encoding: chunked", "b\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a chunk that is shorter than its size", post!("Transfer-Encoding: chunked", "d\r\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a chunk size that ends with LF", post!("Transfer-Encoding: chunked", "c\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a chunk extension with LF", post!("Transfer-Encoding: chunked", "c;a\n{\"name\":\"a\"}\r\n0\r\n\r\n"), &[400], &[]),
    vector("a chunk that ends with LF", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\n0\r\n\r\n"), &[400], &[]),
    vector("a chunk that ends with CR only", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r0\r\n\r\n"), &[400], &[]),
    vector("no last chunk", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n"), &[408], &[]),
    vector("a trailer that names a length", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\nContent-Length: 5\r\n\r\n"), &[200], &["a"]),
    vector("a trailer that is none", post!("Transfer-Encoding: chunked", "c\r\n{\"name\":\"a\"}\r\n0\r\n:\r\n\r\n"), &[400], &[]),
    // The shape of a head: RFC 9112 §2.2, §3, §5.
    vector("a folded line", post!("X: a\r\n b\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a folded coding", post!("Transfer-Encoding:\r\n chunked\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a space before the colon", post!("Content-Length : 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a tab before the colon", post!("Content-Length\t: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a line that begins with a space", post!(" Content-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a line without colon", post!("Content-Length", "{\"name\":\"a\"}"), &[400], &[]),
    vector("no name", post!(": 12\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("CR in a value", post!("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("CR at the end of a line", post!("X: a\rContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("NUL in a value", post!("X: a\0b\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("NUL in a name", post!("X\0: a\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("DEL in a value", post!("X: a\x7fb\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("a name that is no token", post!("X(a): b\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[400], &[]),
    vector("LF at the end of a line, which RFC 9112 §2.2 lets stand for CRLF", post!("X: a\nContent-Length: 12", "{\"name\":\"a\"}"), &[200], &["a"]),
    vector("LF that would hide a coding from others", post!("Content-Length: 12\r\nX: a\nTransfer-Encoding: chunked", "{\"name\":\"a\"}"), &[400], &[]),
    vector("CR in the method", get!("GE\rT /v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("a method in small letters is another one", get!("get /v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[405], &[]),
    vector("tabs in the request line", get!("GET\t/v1/greetings/a\tHTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("two spaces in the request line", get!("GET  /v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("a space in the target", get!("GET /v1/greetings/a b HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("CR in the target", get!("GET /v1/greetings/a\rb HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("NUL in the target", get!("GET /v1/greetings/a\0 HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    vector("an encoded CRLF is a part of the name", get!("GET /v1/greetings/a%0d%0aX:%20b HTTP/1.1", "Host: a\r\n"), &[200], &["a\r\nX: b"]),
    vector("an empty line before the request, which RFC 9112 §2.2 lets pass", get!("\r\nGET /v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[200], &["a"]),
    vector("no version", get!("GET /v1/greetings/a", "Host: a\r\n"), &[400], &[]),
    vector("a version that does not exist", get!("GET /v1/greetings/a HTTP/1.9", "Host: a\r\n"), &[400], &[]),
    vector("HTTP/2 in words", get!("GET /v1/greetings/a HTTP/2.0", "Host: a\r\n"), &[400], &[]),
    vector("a method that tunnels", get!("CONNECT a:80 HTTP/1.1", "Host: a\r\n"), &[501], &[]),
    vector("a method that nothing has", get!("SMUGGLE /v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[405], &[]),
    // Bodies that stop: none is waited for without end, in no protocol.
    vector("a call of Connect that stops", b"POST /stranger.v1.StrangerService/Greet HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{", &[408], &[]),
    vector("a form that stops", post!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 90", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nhal"), &[408], &[]),
    // The host: RFC 9112 §3.2.
    vector("no host", get!("GET /v1/greetings/a HTTP/1.1", ""), &[400], &[]),
    vector("no host in HTTP/1.0", get!("GET /v1/greetings/a HTTP/1.0", ""), &[200], &["a"]),
    vector("two hosts", get!("GET /v1/greetings/a HTTP/1.1", "Host: a\r\nHost: b\r\n"), &[400], &[]),
    vector("one host twice", get!("GET /v1/greetings/a HTTP/1.1", "Host: a\r\nHost: a\r\n"), &[400], &[]),
    vector("a host with a path", get!("GET /v1/greetings/a HTTP/1.1", "Host: a/b\r\n"), &[400], &[]),
    vector("a host with a user", get!("GET /v1/greetings/a HTTP/1.1", "Host: x@a\r\n"), &[400], &[]),
    vector("a target with this host", get!("GET http://a/v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[200], &["a"]),
    vector("a target with another host", get!("GET http://b/v1/greetings/a HTTP/1.1", "Host: a\r\n"), &[400], &[]),
    // Other protocols and expectations.
    vector("an upgrade to HTTP/2, which is not taken", get!("GET /v1/greetings/a HTTP/1.1", "Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), &[200], &["a"]),
    vector("an expectation that is unknown", post!("Expect: tea\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[417], &[]),
    vector("a length that is declared to concern this connection only", post!("Connection: Content-Length\r\nContent-Length: 12", "{\"name\":\"a\"}"), &[200], &["a"]),
    vector("two requests at once are two requests", keep_get!("GET /v1/greetings/a HTTP/1.1", "\r\nGET /v1/greetings/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), &[200, 200], &["a", "smuggled"]),
];

#[tokio::test]
async fn http1_vectors() {
    let upstream = Upstream::start().await;
    let keys = [
        ("listener.body_stall_timeout_ms", "300"),
        ("listener.idle_timeout_ms", "600"),
    ];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    let mut wrong = Vec::new();
    for vector in HTTP1 {
        let before = upstream.greeted().len();
        let answer = exchange(&gateway, vector.sent).await;
        let statuses = statuses(&answer);
        let greeted = upstream.greeted().split_off(before);
        if statuses != vector.statuses || greeted != vector.greeted {
            wrong.push(format!(
                "{}: {statuses:?}, greeted {greeted:?}",
                vector.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends bytes and returns all that comes back until the gateway closes the connection.
async fn exchange(gateway: &Gateway, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well: the gateway closes without reading on.
    let _ = soon("the end of the connection", stream.read_to_end(&mut answer)).await;
    answer
}

fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let status = |rest: &str| rest.get(2..5)?.parse().ok();
    text.split("HTTP/1.").skip(1).filter_map(status).collect()
}
