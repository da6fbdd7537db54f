//! Server streams over the JSON API: framings, early and late errors, keep-alive, back-pressure,
//! cancellation.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tonic::Code;

use crate::support::stranger::{Reflection, Upstream, descriptors, happened};
use crate::support::{Gateway, Reply, soon};

#[tokio::test]
async fn one_stream_in_three_framings() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    for accept in ["", "*/*", "application/x-ndjson"] {
        let reply = count(&gateway, "/v1/counts/2", accept).await;
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        assert_eq!(reply.text(), "{\"number\":1}\n{\"number\":2}\n");
    }
    let reply = count(&gateway, "/v1/counts/2", "application/json").await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.text(), r#"[{"number":1},{"number":2}]"#);

    for (path, accept) in [
        ("/v1/counts/2", "text/event-stream"),
        ("/v1/counts/2?alt=sse", "*/*"),
    ] {
        let reply = count(&gateway, path, accept).await;
        assert_eq!(reply.header("content-type"), "text/event-stream");
        let events = "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\nevent: end\ndata: {}\n\n";
        assert_eq!(reply.text(), events);
    }
    count(&gateway, "/v1/counts/2", "image/png")
        .await
        .assert_error(406, Code::InvalidArgument, "NOT_ACCEPTABLE");
}

#[tokio::test]
async fn a_stream_of_protobuf_has_a_length_before_each_message() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (path, accept) in [
        ("/v1/counts/2", "application/x-protobuf"),
        ("/v1/counts/2?alt=proto", ""),
    ] {
        let reply = count(&gateway, path, accept).await;
        let content_type = reply.header("content-type");
        assert_eq!(content_type, "application/x-protobuf; delimited=true");
        assert_eq!(reply.text(), "\x02\x08\x01\x02\x08\x02");
    }

    let request = Request::get("/v1/counts/9?failAt=2&alt=proto");
    let (response, _connection) = gateway
        .open(request.body(Full::<Bytes>::default()).unwrap())
        .await;
    assert_eq!(response.status(), 200);
    let collected = soon("the end of the stream", response.into_body().collect()).await;
    assert!(collected.is_err(), "a failed stream must not end well");
}

#[tokio::test]
async fn every_message_shows_only_the_fields_that_were_asked_for() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (query, expected) in [
        ("fields=number", "{\"number\":1}\n{\"number\":2}\n"),
        (
            "$fields=padding&$alt=json",
            r#"[{"padding":"/w=="},{"padding":"/w=="}]"#,
        ),
        (
            "%24fields=number&%24alt=sse",
            "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\nevent: end\ndata: {}\n\n",
        ),
    ] {
        let reply = count(&gateway, &format!("/v1/counts/2?padding=1&{query}"), "").await;
        assert_eq!(reply.text(), expected, "{query}");
    }
    let reply = count(&gateway, "/v1/counts/2?fields=number.x", "").await;
    reply.assert_error(400, Code::InvalidArgument, "UNKNOWN_FIELD");
    let reply = count(&gateway, "/v1/counts/2?fields=number&alt=proto", "").await;
    reply.assert_error(400, Code::InvalidArgument, "FIELDS_OF_PROTOBUF");
}

#[tokio::test]
async fn an_empty_stream_is_no_error() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    assert_eq!(count(&gateway, "/v1/counts/0", "").await.text(), "");
    assert_eq!(
        count(&gateway, "/v1/counts/0", "application/json")
            .await
            .text(),
        "[]"
    );
    assert_eq!(
        count(&gateway, "/v1/counts/0", "text/event-stream")
            .await
            .text(),
        "event: end\ndata: {}\n\n"
    );
}

#[tokio::test]
async fn an_error_before_the_first_message_keeps_its_http_status() {
    let upstream = Upstream::start().await;
    let patient = [("sse_keep_alive_ms", "60000")];
    let gateway = Gateway::start(&[upstream.address], &patient).await;
    gateway.wait_until_ready().await;
    for accept in ["", "application/json", "text/event-stream"] {
        let reply = count(&gateway, "/v1/counts/2?failAt=1", accept).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (409, "application/json")
        );
        assert_eq!(reply.json()["message"], "cannot count that far");
    }
}

#[tokio::test]
async fn a_first_message_that_is_no_json_decides_the_http_status() {
    let mut descriptors = descriptors("stranger");
    // `bytes padding = 2` becomes `string padding = 2`, which the bytes that the upstream sends are
    // not.
    let field = b"\x0a\x07padding\x18\x02\x20\x01\x28\x0c";
    let place = descriptors
        .windows(field.len())
        .position(|window| window == field)
        .unwrap();
    descriptors[place + field.len() - 1] = 9;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, descriptors, Reflection::V1);
    let gateway = Gateway::ready(&[upstream.address]).await;
    for accept in ["", "application/json", "text/event-stream"] {
        let reply = count(&gateway, "/v1/counts/2?padding=1", accept).await;
        reply.assert_error(500, Code::Internal, "BAD_UPSTREAM_MESSAGE");
    }
}

#[tokio::test]
async fn an_error_after_the_first_message_is_in_the_stream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let error = r#"{"error":{"code":10,"message":"cannot count that far","details":[]}}"#;
    for (accept, expected) in [
        ("", format!("{{\"number\":1}}\n{error}\n")),
        ("application/json", format!("[{{\"number\":1}},{error}]")),
        (
            "text/event-stream",
            format!("id: 1\ndata: {{\"number\":1}}\n\nevent: error\ndata: {error}\n\n"),
        ),
    ] {
        let reply = count(&gateway, "/v1/counts/9?failAt=2", accept).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, expected));
    }
}

#[tokio::test]
async fn a_deadline_that_passes_ends_a_stream_with_an_error() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/counts/9?holdAt=1").header("request-timeout", "0.2");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    let lines: Vec<serde_json::Value> = reply
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (
            lines[0]["number"].as_i64(),
            lines[1]["error"]["code"].as_i64()
        ),
        (Some(1), Some(4)),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn each_event_is_flushed_and_silence_is_filled_with_comments() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/counts/9?holdAt=2").header("accept", "text/event-stream");
    let (response, _connection) = gateway
        .open(request.body(Full::<Bytes>::default()).unwrap())
        .await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let expected = "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\n: keep-alive\n\n: keep-alive\n\n";
    assert_eq!(read(response.into_body(), expected.len()).await, expected);
}

#[tokio::test]
async fn an_upstream_that_sends_its_head_only_gets_one_to_the_client() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (accept, expected) in [
        ("text/event-stream", ": keep-alive\n\n: keep-alive\n\n"),
        ("application/json", "\n\n"),
        ("application/x-ndjson", ""),
    ] {
        // Nothing comes before the first number.
        let request = Request::get("/v1/counts/9?holdAt=-1").header("accept", accept);
        let (response, _connection) = gateway
            .open(request.body(Full::<Bytes>::default()).unwrap())
            .await;
        assert_eq!(response.headers()["content-type"], accept);
        assert_eq!(read(response.into_body(), expected.len()).await, expected);
    }
}

#[tokio::test]
async fn a_client_that_comes_back_says_where_it_was() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/counts/3").header("last-event-id", "2");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.text(), "{\"number\":3}\n");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_stream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let request = Request::get("/v1/counts/9?holdAt=1")
        .body(Full::<Bytes>::default())
        .unwrap();
    let (response, connection) = gateway.open(request).await;
    assert_eq!(response.status(), 200);
    drop(connection);
    happened(&mut events, "Count dropped").await;
}

#[tokio::test]
async fn a_stream_is_read_no_faster_than_its_client_takes_it() {
    const PADDING: u64 = 64 * 1024;
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    // 640 MiB, of which the client takes one message.
    let path = format!("/v1/counts/10000?padding={PADDING}");
    let (response, _connection) = gateway
        .open(Request::get(path).body(Full::<Bytes>::default()).unwrap())
        .await;
    assert_eq!(response.status(), 200);
    for _ in 0..200 {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    }
    // The size of the buffers and windows of two connections.
    let produced = upstream.observed.produced.load(Ordering::SeqCst);
    assert!(
        (PADDING..64 << 20).contains(&produced),
        "{produced} bytes produced"
    );
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_given_up() {
    let upstream = Upstream::start().await;
    let keys = [("listener.response_stall_timeout_ms", "200")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let unread = || {
        let path = format!("/v1/counts/10000?padding={}", 64 * 1024);
        Request::get(path).body(Full::<Bytes>::default()).unwrap()
    };
    let mut events = upstream.events();
    let (response, _connection) = gateway.open(unread()).await;
    happened(&mut events, "Count dropped").await;
    let cut = soon("the end", response.into_body().collect()).await;
    assert!(cut.is_err(), "it looks whole");

    // Only that stream of the connection.
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let mut events = upstream.events();
    let (mut sender, _connection) = gateway.connect_http2().await;
    let asked = sender.send_request(gateway.absolute(unread()));
    let response = asked.await.unwrap();
    happened(&mut events, "Count dropped").await;
    let greeting = Request::get("/v1/greetings/a").body(Full::default());
    let greeted = sender.send_request(gateway.absolute(greeting.unwrap()));
    assert_eq!(greeted.await.unwrap().status(), 200);
    let cut = soon("the end", response.into_body().collect()).await;
    assert!(cut.is_err(), "it looks whole");
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_in_its_streams() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/counts/9?holdAt=1").header("accept", "text/event-stream");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let (response, _connection) = gateway.open(request).await;
    let body = tokio::spawn(response.into_body().collect());
    gateway.stop().await;
    let text = body.await.unwrap().unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.contains("event: error\ndata: {\"error\":{\"code\":14,"),
        "{text}"
    );
}

async fn count(gateway: &Gateway, path: &str, accept: &str) -> Reply {
    let mut request = Request::get(path);
    if !accept.is_empty() {
        request = request.header("accept", accept);
    }
    gateway.send(request.body(Full::default()).unwrap()).await
}

async fn read(mut body: Incoming, length: usize) -> String {
    let mut text = Vec::new();
    while text.len() < length {
        let frame = soon("a part of the stream", body.frame())
            .await
            .unwrap()
            .unwrap();
        text.extend_from_slice(&frame.into_data().unwrap());
    }
    String::from_utf8(text).unwrap()
}
