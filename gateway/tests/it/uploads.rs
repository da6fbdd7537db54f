//! Raw uploads: bounded memory, early refusals, and what happens to an upload that breaks off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use tonic::Code;

use crate::support::stranger::{Upstream, happened};
use crate::support::{Gateway, Reply, eventually, soon};

const PIECE: usize = 64 * 1024;
const TOTAL: u64 = 64 << 20;

#[tokio::test]
async fn an_upload_becomes_messages() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[("upload_chunk_bytes", "1024")]).await;
    gateway.wait_until_ready().await;
    let reply = gateway
        .post(
            "/v1/files/orders",
            "text/csv; charset=utf-8",
            vec![b'x'; 2500],
        )
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let json = reply.json();
    assert_eq!(
        (json["name"].as_str(), json["contentType"].as_str()),
        (Some("orders"), Some("text/csv; charset=utf-8"))
    );
    assert_eq!(json["bytes"], "2500");
    // The head and three pieces, the content being of any type; JSON is not an exception.
    assert_eq!(json["messages"], 4);
    let reply = gateway
        .post("/v1/files/orders", "application/json", "not json")
        .await;
    assert_eq!(reply.json()["bytes"], "8");
}

#[tokio::test]
async fn a_large_upload_waits_for_the_upstream_instead_of_filling_memory() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    // The upstream reads one message and then no more.
    let observed = &upstream.observed;
    let withheld = observed.permits.available_permits() - 1;
    observed.permits.forget_permits(withheld);

    let sent = Arc::new(AtomicU64::new(0));
    let (mut sender, _connection) = gateway.connect().await;
    let request = Request::post("/v1/files/large")
        .body(Generated::new(TOTAL, TOTAL, &sent))
        .unwrap();
    let reply = tokio::spawn(sender.send_request(request));
    eventually("the upload has begun", async || {
        let sent = sent.load(Ordering::SeqCst);
        if sent > 0 { Ok(()) } else { Err(sent) }
    })
    .await;
    for _ in 0..200 {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    }
    // The size of the buffers and windows of two connections; the gateway itself holds one piece.
    let stalled = sent.load(Ordering::SeqCst);
    assert!(stalled < TOTAL / 2, "{stalled} of {TOTAL} bytes were taken");

    observed.permits.add_permits(withheld);
    let response = soon("the upload", reply).await.unwrap().unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["bytes"], TOTAL.to_string());
}

#[tokio::test]
async fn an_upload_that_is_refused_is_answered_at_once() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let sent = Arc::new(AtomicU64::new(0));
    let (mut sender, _connection) = gateway.connect().await;
    // The end of this upload never comes.
    let request = Request::post("/v1/files/refused")
        .body(Generated::new(TOTAL, PIECE as u64, &sent))
        .unwrap();
    let response = soon("the refusal", sender.send_request(request))
        .await
        .unwrap();
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_complete() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    // With a length and without one ("chunked").
    for declared in [Some(TOTAL), None] {
        let before = upstream.observed.stored.load(Ordering::SeqCst);
        let mut events = upstream.events();
        events.mark_unchanged();
        let seen = events.borrow().len();
        let sent = Arc::new(AtomicU64::new(0));
        let (mut sender, connection) = gateway.connect().await;
        let mut body = Generated::new(TOTAL, 4 * PIECE as u64, &sent);
        body.declared = declared;
        let waiting =
            tokio::spawn(sender.send_request(Request::post("/v1/files/torn").body(body).unwrap()));
        eventually("the first pieces are stored", async || {
            let stored = upstream.observed.stored.load(Ordering::SeqCst) - before;
            if stored == 4 * PIECE as u64 {
                Ok(())
            } else {
                Err(stored)
            }
        })
        .await;
        drop(connection);
        let outcome = soon("an end", events.wait_for(|events| events.len() > seen))
            .await
            .unwrap()
            .clone();
        assert_eq!(
            outcome.last().map(String::as_str),
            Some("Store torn"),
            "{declared:?}"
        );
        waiting.abort();
    }
}

#[tokio::test]
async fn an_upload_whose_deadline_passes_never_looks_complete() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let sent = Arc::new(AtomicU64::new(0));
    let (mut sender, _connection) = gateway.connect().await;
    let body = Generated::new(TOTAL, PIECE as u64, &sent);
    let request = Request::post("/v1/files/late")
        .header("request-timeout", "0.2")
        .body(body)
        .unwrap();
    let response = soon("the answer", sender.send_request(request))
        .await
        .unwrap();
    assert_eq!(response.status(), 504);
    happened(&mut events, "Store torn").await;
}

#[tokio::test]
async fn an_http2_client_that_resets_an_upload_tears_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let stream = tokio::net::TcpStream::connect(gateway.address)
        .await
        .unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let sent = Arc::new(AtomicU64::new(0));
    let uri = format!("http://{}/v1/files/torn", gateway.address);
    let body = Generated::new(TOTAL, PIECE as u64, &sent);
    let waiting = tokio::spawn(sender.send_request(Request::post(uri).body(body).unwrap()));
    eventually("the first piece is stored", async || {
        let stored = upstream.observed.stored.load(Ordering::SeqCst);
        if stored == PIECE as u64 {
            Ok(())
        } else {
            Err(stored)
        }
    })
    .await;
    // hyper resets the stream with CANCEL, which says nothing about the messages that were still to
    // come.
    waiting.abort();
    happened(&mut events, "Store torn").await;
    connection.abort();
}

#[tokio::test]
async fn a_download_route_beside_an_upload_route_keeps_its_own_method() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let reply = gateway
        .send(Request::put("/v1/files/a").body(Full::default()).unwrap())
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("allow")),
        (405, "GET, HEAD, POST")
    );
}

/// A body of zeros that counts what has been taken, and stops without an end where it is told to.
struct Generated {
    declared: Option<u64>,
    left: u64,
    until_stop: u64,
    sent: Arc<AtomicU64>,
}

impl Generated {
    fn new(total: u64, stop_after: u64, sent: &Arc<AtomicU64>) -> Self {
        Self {
            declared: Some(total),
            left: total,
            until_stop: stop_after,
            sent: sent.clone(),
        }
    }
}

impl Body for Generated {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.until_stop == 0 {
            return Poll::Pending;
        }
        let piece = self.left.min(self.until_stop).min(PIECE as u64);
        self.left -= piece;
        self.until_stop -= piece;
        self.sent.fetch_add(piece, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; piece as usize])))))
    }

    fn size_hint(&self) -> SizeHint {
        self.declared
            .map_or_else(SizeHint::default, |_| SizeHint::with_exact(self.left))
    }
}

const FORM: &str = "multipart/form-data; boundary=b";

/// Parts as a browser writes them: `(disposition behind the name, content type, value)`.
fn form(parts: &[(&str, &str, &str)]) -> String {
    let part = |(disposition, content_type, value): &(&str, &str, &str)| {
        let typed = match *content_type {
            "" => String::new(),
            content_type => format!("content-type: {content_type}\r\n"),
        };
        format!(
            "--b\r\ncontent-disposition: form-data; name={disposition}\r\n{typed}\r\n{value}\r\n"
        )
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

#[tokio::test]
async fn the_file_of_a_form_is_an_upload() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let body = form(&[(r#""f"; filename="x.csv""#, "text/csv", "a,b\r\n1,2")]);
    let reply = gateway.post("/v1/files/x", FORM, body).await;
    let stored = reply.json();
    assert_eq!(stored["name"], "x", "{stored}");
    assert_eq!(stored["contentType"], "text/csv");
    assert_eq!(stored["bytes"], "8");
}

#[tokio::test]
async fn the_fields_of_a_form_bind_as_a_query_does() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let body = form(&[(r#""name""#, "", "a&b=ü"), (r#""times""#, "", "2")]);
    let reply = gateway.post("/v1/greetings", FORM, body).await;
    assert_eq!(
        reply.json()["text"],
        "hello a&b=ü, hello a&b=ü",
        "{reply:?}"
    );
    let body = form(&[(r#""nobody""#, "", "1")]);
    let reply = gateway.post("/v1/greetings", FORM, body).await;
    reply.assert_error(400, Code::InvalidArgument, "UNKNOWN_FIELD");
}

#[tokio::test]
async fn a_form_that_does_not_fit_is_refused_and_never_stored() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let events = upstream.events();
    let file = (r#""f"; filename="x""#, "", "abc");
    let whole = form(&[file]);
    let bad = |reply: Reply| reply.assert_error(400, Code::InvalidArgument, "BAD_MULTIPART");

    bad(gateway
        .post("/v1/files/x", "multipart/form-data", whole.clone())
        .await);
    bad(gateway
        .post("/v1/files/x", FORM, form(&[(r#""a""#, "", "1")]))
        .await);
    bad(gateway
        .post("/v1/files/x", FORM, form(&[file, (r#""a""#, "", "1")]))
        .await);
    bad(gateway
        .post(
            "/v1/files/x",
            FORM,
            whole.trim_end_matches("--b--\r\n").to_owned(),
        )
        .await);
    let endless = format!("--b\r\nx-endless: {}", "x".repeat(1 << 20));
    bad(gateway.post("/v1/files/x", FORM, endless).await);
    // Names are kept as values are, and bounded with them.
    let name = format!(r#""{}""#, "n".repeat(32 * 1024));
    let names = form(&[(&*name, "", ""); 300]);
    let reply = gateway.post("/v1/files/x", FORM, names).await;
    reply.assert_error(413, Code::ResourceExhausted, "BODY_TOO_LARGE");
    let seen = events.borrow().clone();
    assert!(
        !seen.iter().any(|event| event == "Store complete"),
        "{seen:?}"
    );
}
