//! Request streams over the JSON API: formats, bindings, turns, faults in mid-stream,
//! back-pressure, cancellation.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::stranger::{Upstream, happened};
use crate::support::{Gateway, eventually, soon};

const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn a_stream_in_any_format_becomes_messages() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (content_type, body) in [
        ("application/json", r#"[{"times":1}, {"name":"b"}]"#),
        ("application/json", r#"{"times":1}{"name":"b"}"#),
        ("", r#"{"times":1} {"name":"b"}"#),
        (NDJSON, "{\"times\":1}\n{\"name\":\"b\"}"),
        (
            "application/json-seq",
            "\x1e{\"times\":1}\n\x1e{\"name\":\"b\"}\n",
        ),
        ("application/x-protobuf", "\x02\x10\x01\x03\x0a\x01b"),
    ] {
        // The path binds to the first message alone.
        let reply = gateway.post("/v1/gatherings/a", content_type, body).await;
        assert_eq!(reply.json()["text"], "a*1 b*0", "{content_type}: {reply:?}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    let reply = gateway
        .post("/v1/lists", NDJSON, "{\"names\":[\"a\",\"b\"]}\n{}")
        .await;
    assert_eq!(reply.json()["text"], "a+b ", "{reply:?}");
    let reply = gateway.post("/v1/gatherings/a", NDJSON, "\n").await;
    assert_eq!(reply.json(), json!({}), "no message, none invented");
    let reply = gateway.get("/v1/gatherings/a?times=3").await;
    assert_eq!(
        reply.json()["text"],
        "a*3",
        "a rule without body is one message"
    );
}

#[tokio::test]
async fn a_request_stream_is_refused_before_the_upstream_is_called() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let path = "/v1/gatherings/a";
    gateway.post(path, "text/csv", "a,b").await.assert_error(
        415,
        Code::InvalidArgument,
        "UNSUPPORTED_MEDIA_TYPE",
    );
    gateway
        .post("/v1/gatherings/a?nope=1", NDJSON, "{}")
        .await
        .assert_error(400, Code::InvalidArgument, "UNKNOWN_FIELD");
    let request = Request::post(path).header("accept", "image/png");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    reply.assert_error(406, Code::InvalidArgument, "NOT_ACCEPTABLE");
    assert!(upstream.events().borrow().is_empty());
}

#[tokio::test]
async fn a_bad_message_is_placed_in_its_stream_and_tears_the_call() {
    let upstream = Upstream::start().await;
    let keys = [("max_body_bytes", "100")];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    let good = "{\"times\":1}\n".repeat(17);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(100));
    for (bad, reason, field) in [
        (
            r#"{"list":{"names":["a",1]}}"#,
            "INVALID_VALUE",
            "[17].list.names[1]",
        ),
        (r#"{"times":101}"#, "INVALID_FIELD", "[17].times"),
        (r#"{"times":1"#, "INVALID_JSON", "[17]"),
        (&long, "LIMIT_EXCEEDED", "[17]"),
    ] {
        let body = format!("{good}{bad}\n");
        let reply = gateway.post("/v1/gatherings/a", NDJSON, body).await;
        reply.assert_error(400, Code::InvalidArgument, reason);
        let violation = &reply.json()["details"][1]["fieldViolations"][0];
        assert_eq!(violation["field"], field, "{reply:?}");
    }
    let events = upstream.events().borrow().clone();
    assert!(
        !events.iter().any(|event| event == "Gather complete"),
        "{events:?}"
    );
}

#[tokio::test]
async fn both_sides_talk_in_turns() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for is_http2 in [false, true] {
        let (talk, response, _connection) = chat(&gateway, is_http2, "").await;
        assert_eq!(response.headers()["content-type"], NDJSON);
        let mut answers = response.into_body();
        assert_eq!(next(&mut answers).await.unwrap()["text"], "hello first");
        say(&talk, "{\"name\":\"second\"}\n").await;
        assert_eq!(next(&mut answers).await.unwrap()["text"], "hello second");
        drop(talk);
        assert!(next(&mut answers).await.is_none(), "HTTP/2: {is_http2}");
    }
}

#[tokio::test]
async fn both_streams_have_their_own_framing() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (query, expected) in [
        (
            "alt=json&fields=text",
            r#"[{"text":"hello a"},{"text":"hello b"}]"#,
        ),
        ("alt=proto", "\x09\x0a\x07hello a\x09\x0a\x07hello b"),
    ] {
        let path = format!("/v1/chats?{query}");
        let reply = gateway
            .post(&path, NDJSON, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n")
            .await;
        assert_eq!(reply.text(), expected, "{query}");
    }
    let reply = gateway
        .post("/v1/chats", NDJSON, r#"{"name":"nobody"}"#)
        .await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["details"][1]["reason"]),
        (404, &json!("NOBODY"))
    );
}

#[tokio::test]
async fn a_bad_message_behind_the_first_answer_is_an_error_in_the_stream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for is_http2 in [false, true] {
        let mut events = upstream.events();
        let torn = events.borrow().len();
        let (talk, response, _connection) = chat(&gateway, is_http2, "").await;
        let mut answers = response.into_body();
        assert_eq!(next(&mut answers).await.unwrap()["text"], "hello first");
        say(&talk, "{\"name\":2}\n").await;
        let error = next(&mut answers).await.unwrap()["error"].clone();
        assert_eq!(error["code"], Code::InvalidArgument as i32, "{error}");
        assert_eq!(
            error["details"][1]["fieldViolations"][0]["field"],
            "[1].name"
        );
        assert!(next(&mut answers).await.is_none());
        let seen = soon("the tear", events.wait_for(|events| events.len() > torn));
        assert_eq!(seen.await.unwrap().last().unwrap(), "Chat torn");
    }
}

#[tokio::test]
async fn a_deadline_ends_both_streams() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let (_talk, response, _connection) = chat(&gateway, true, "0.3").await;
    let mut answers = response.into_body();
    assert_eq!(next(&mut answers).await.unwrap()["text"], "hello first");
    let error = next(&mut answers).await.unwrap();
    assert_eq!(error["error"]["code"], Code::DeadlineExceeded as i32);
    drop(answers);
    happened(&mut events, "Chat torn").await;
}

#[tokio::test]
async fn a_request_stream_that_breaks_off_never_looks_complete() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for is_http2 in [false, true] {
        let mut events = upstream.events();
        let seen = events.borrow().len();
        let (talk, response, connection) = chat(&gateway, is_http2, "").await;
        assert_eq!(response.status(), 200);
        let broken = Err(io::Error::other("the client breaks off"));
        talk.send(broken).await.unwrap();
        let outcome = soon("the tear", events.wait_for(|events| events.len() > seen));
        assert_eq!(outcome.await.unwrap().last().unwrap(), "Chat torn");
        drop((connection, response));
    }
}

#[tokio::test]
async fn a_request_stream_waits_for_the_upstream_instead_of_filling_memory() {
    const MESSAGES: u64 = 6_400;
    const NAME_BYTES: u64 = 10_000;
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    // The upstream reads one message and then no more.
    let observed = &upstream.observed;
    let withheld = observed.permits.available_permits() - 1;
    observed.permits.forget_permits(withheld);

    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let name = "x".repeat(NAME_BYTES as usize);
    let line = Bytes::from(format!("{{\"list\":{{\"names\":[\"{name}\"]}}}}\n"));
    let total = line.len() as u64 * MESSAGES;
    let lines = futures::stream::iter(0..MESSAGES).map(move |_| {
        counted.fetch_add(line.len() as u64, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(line.clone()))
    });
    let (mut sender, _connection) = gateway.connect().await;
    let request = Request::post("/v1/gatherings/a").header("content-type", NDJSON);
    let body = StreamBody::new(
        futures::stream::once(async { Ok(Frame::data(Bytes::from("{}\n"))) })
            .chain(lines)
            .boxed(),
    );
    let reply = tokio::spawn(sender.send_request(request.body(body).unwrap()));
    eventually("the stream has begun", async || {
        match sent.load(Ordering::SeqCst) {
            0 => Err(0),
            _ => Ok(()),
        }
    })
    .await;
    for _ in 0..200 {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    }
    // The size of the buffers and windows of two connections; the gateway itself holds one chunk.
    let stalled = sent.load(Ordering::SeqCst);
    assert!(stalled < total / 2, "{stalled} of {total} bytes were taken");

    observed.permits.add_permits(withheld);
    let response = soon("the stream", reply).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let stored = observed.stored.load(Ordering::SeqCst);
    assert_eq!(stored, MESSAGES * NAME_BYTES);
}

#[tokio::test]
async fn a_request_stream_that_is_refused_is_answered_at_once() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let (talk, body) = pipe();
    say(&talk, "{}\n").await;
    // The end of this stream never comes.
    let request = Request::post("/v1/gatherings/refused").header("content-type", NDJSON);
    let open = gateway.open(request.body(body).unwrap());
    let (response, _connection) = soon("the refusal", open).await;
    assert_eq!(response.status(), 403);
}

pub(crate) type Talk = mpsc::Sender<io::Result<Frame<Bytes>>>;

/// A body that grows by what is said.
fn pipe() -> (
    Talk,
    impl Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
) {
    let (talk, queue) = mpsc::channel(4);
    (talk, StreamBody::new(ReceiverStream::new(queue)))
}

/// Opens a chat, in which the first message is said.
pub(crate) async fn chat(
    gateway: &Gateway,
    is_http2: bool,
    timeout: &str,
) -> (Talk, Response<Incoming>, crate::support::Connection) {
    let (talk, body) = pipe();
    say(&talk, "{\"name\":\"first\"}\n").await;
    let mut request = Request::post("/v1/chats").header("content-type", NDJSON);
    if !timeout.is_empty() {
        request = request.header("request-timeout", timeout);
    }
    let request = request.body(body).unwrap();
    let (response, connection) = if is_http2 {
        soon("the first answer", gateway.open_http2(request)).await
    } else {
        soon("the first answer", gateway.open(request)).await
    };
    (talk, response, connection)
}

pub(crate) async fn say(talk: &Talk, line: &'static str) {
    let frame = Frame::data(Bytes::from_static(line.as_bytes()));
    talk.send(Ok(frame)).await.unwrap();
}

/// The next line of an answer, which is flushed by itself.
pub(crate) async fn next(answers: &mut Incoming) -> Option<Value> {
    loop {
        let frame = soon("a line", answers.frame()).await?.unwrap();
        let line = frame.into_data().unwrap();
        // HTTP/2 may end a body with a frame of nothing.
        if !line.is_empty() {
            return Some(serde_json::from_slice(&line).unwrap());
        }
    }
}
