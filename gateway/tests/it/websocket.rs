//! WebSocket: one connection is one call, of every kind; its errors, its limits, and what becomes
//! of a call whose client leaves.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::messages::{GreetRequest, GreetResponse};
use crate::support::stranger::{Upstream, happened};
use crate::support::{Gateway, soon};

/// Long enough that no ping comes in between.
pub(crate) const QUIET: (&str, &str) = ("websocket.ping_interval_ms", "60000");

/// The client's end.
pub(crate) struct Client<S>(pub(crate) WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn say(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Message {
        let heard = soon("a message", self.0.next()).await;
        heard.unwrap().unwrap()
    }

    pub(crate) async fn hear_json(&mut self) -> Value {
        serde_json::from_str(self.hear().await.to_text().unwrap()).unwrap()
    }

    pub(crate) async fn assert_closes(&mut self, code: u16, reason: &str) {
        let Message::Close(Some(frame)) = self.hear().await else {
            panic!("expected a close frame");
        };
        assert_eq!(
            (u16::from(frame.code), frame.reason.as_str()),
            (code, reason)
        );
    }

    /// Checks the error that ends a call, and the close code behind it.
    async fn assert_fails(&mut self, code: tonic::Code, reason: &str) -> Value {
        let error = self.hear_json().await["error"].take();
        let found = (
            error["code"].as_i64(),
            error["details"][0]["reason"].as_str(),
        );
        assert_eq!(found, (Some(code as i64), Some(reason)), "{error}");
        error
    }
}

pub(crate) async fn connect(gateway: &Gateway, path: &str) -> Client<TcpStream> {
    open(gateway, path, &[]).await.unwrap().0
}

pub(crate) async fn open(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<(Client<TcpStream>, Response<Option<Vec<u8>>>), Error> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let url = format!("ws://{}{path}", gateway.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(*name, value);
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    Ok((Client(socket), response))
}

/// A handshake that HTTP answers.
pub(crate) async fn refused(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> (u16, Value) {
    match open(gateway, path, headers).await.map(|_| ()) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let json = serde_json::from_slice(body).unwrap_or_default();
            (response.status().as_u16(), json)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn both_sides_of_a_bidirectional_call_take_turns() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let mut events = upstream.events();
    let mut client = connect(&gateway, "/v1/chats").await;
    client.say(r#"{"name":"a","mood":"MOOD_CALM"}"#).await;
    let first = client.hear_json().await;
    assert_eq!(first, json!({"text": "hello a", "mood": "MOOD_CALM"}));
    client.say(r#"{"name":"b"}"#).await;
    let second = client.hear_json().await;
    assert_eq!(second, json!({"text": "hello b"}));
    client.say("").await;
    client.assert_closes(1000, "OK").await;
    happened(&mut events, "Chat complete").await;
}

#[tokio::test]
async fn every_kind_of_call_has_a_connection() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;

    let mut counting = connect(&gateway, "/v1/counts/2").await;
    assert_eq!(counting.hear_json().await, json!({"number": 1}));
    assert_eq!(counting.hear_json().await, json!({"number": 2}));
    counting.assert_closes(1000, "OK").await;

    let mut named = connect(&gateway, "/v1/gatherings/a").await;
    named.say(r#"{"times":1}"#).await;
    named.say(r#"{"name":"b"}"#).await;
    named.say("").await;
    let gathered = named.hear_json().await;
    assert_eq!(gathered["text"], "a*1 b*0", "the path binds to the first");

    let mut gathering = connect(&gateway, "/v1/lists").await;
    gathering.say(r#"{"names":["a","b"]}"#).await;
    gathering.say(r#"{"names":["c"]}"#).await;
    gathering.say("").await;
    assert_eq!(gathering.hear_json().await["text"], "a+b c");
    gathering.assert_closes(1000, "OK").await;

    let mut by_path = connect(&gateway, "/v1/greetings/a?times=2").await;
    assert_eq!(by_path.hear_json().await["text"], "hello a, hello a");
    by_path.assert_closes(1000, "OK").await;

    // One message is all that this method takes, so that it needs no end.
    let mut by_message = connect(&gateway, "/v1/greetings?$fields=text").await;
    by_message.say(r#"{"name":"b"}"#).await;
    assert_eq!(by_message.hear_json().await, json!({"text": "hello b"}));
    by_message.assert_closes(1000, "OK").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_the_call() {
    let upstream = Upstream::start().await;
    let keys = [QUIET, ("listener.response_stall_timeout_ms", "200")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let mut events = upstream.events();
    let path = format!("/v1/counts/10000?padding={}", 64 * 1024);
    let _unread = connect(&gateway, &path).await;
    happened(&mut events, "Count dropped").await;
}

#[tokio::test]
async fn binary_frames_are_protobuf_or_raw_bytes() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;

    let mut chat = connect(&gateway, "/v1/chats?alt=proto").await;
    let request = GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    };
    chat.say(request.encode_to_vec()).await;
    let answer = GreetResponse::decode(chat.hear().await.into_data()).unwrap();
    assert_eq!(answer.text, "hello a");
    chat.say(r#"{"name":"b"}"#).await;
    let answer = GreetResponse::decode(chat.hear().await.into_data()).unwrap();
    assert_eq!(answer.text, "hello b", "both kinds of frames are taken");

    let mut upload = connect(&gateway, "/v1/files/x").await;
    upload.say(vec![0xff; 3]).await;
    upload.say(vec![0; 4]).await;
    upload.say("").await;
    let stored = upload.hear_json().await;
    assert_eq!(
        (&stored["name"], &stored["bytes"]),
        (&json!("x"), &json!("7"))
    );
}

#[tokio::test]
async fn a_failure_is_said_in_band_and_by_the_close_code() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;

    let mut client = connect(&gateway, "/v1/counts/5?failAt=2").await;
    assert_eq!(client.hear_json().await, json!({"number": 1}));
    let error = client.hear_json().await;
    assert_eq!(error["error"]["message"], "cannot count that far");
    client.assert_closes(4010, "ABORTED").await;

    let mut client = connect(&gateway, "/v1/chats").await;
    client.say(r#"{"name":"a"}"#).await;
    client.hear().await;
    client.say(r#"{"list":{"names":7}}"#).await;
    let error = client.hear_json().await["error"].take();
    assert_eq!(
        error["details"][1]["fieldViolations"][0]["field"], "[1].list.names",
        "{error}"
    );
    client.assert_closes(4003, "INVALID_ARGUMENT").await;

    let mut client = connect(&gateway, "/v1/counts/5?holdAt=1").await;
    client.hear().await;
    client.say("{}").await;
    client
        .assert_fails(tonic::Code::InvalidArgument, "REQUESTS_COMPLETE")
        .await;
    client.assert_closes(4003, "INVALID_ARGUMENT").await;
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_call() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET, ("max_body_bytes", "64")]).await;
    gateway.wait_until_ready().await;
    let mut events = upstream.events();
    let mut client = connect(&gateway, "/v1/chats").await;
    client.say(r#"{"name":"a"}"#).await;
    client.hear().await;
    client
        .say(json!({"name": "x".repeat(100)}).to_string())
        .await;
    client
        .assert_fails(tonic::Code::ResourceExhausted, "BODY_TOO_LARGE")
        .await;
    client.assert_closes(1009, "RESOURCE_EXHAUSTED").await;
    happened(&mut events, "Chat torn").await;
}

#[tokio::test]
async fn a_client_that_leaves_early_never_looks_complete() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let mut events = upstream.events();
    let mut polite = connect(&gateway, "/v1/gatherings/a").await;
    polite.say("{}").await;
    polite.0.close(None).await.unwrap();
    happened(&mut events, "Gather torn").await;

    let mut events = upstream.events();
    let mut rude = connect(&gateway, "/v1/chats").await;
    rude.say(r#"{"name":"a"}"#).await;
    rude.hear().await;
    drop(rude);
    happened(&mut events, "Chat torn").await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone() {
    let upstream = Upstream::start().await;
    let keys = [("websocket.ping_interval_ms", "1000")];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    let mut events = upstream.events();
    // A socket that nobody reads answers nothing.
    let _silent = connect(&gateway, "/v1/counts/5?holdAt=1").await;
    happened(&mut events, "Count dropped").await;

    let mut listening = connect(&gateway, "/v1/counts/5?holdAt=1").await;
    assert_eq!(listening.hear_json().await, json!({"number": 1}));
    for _ in 0..2 {
        assert!(listening.hear().await.is_ping());
    }
}

#[tokio::test]
async fn responses_wait_for_a_client_that_does_not_read() {
    const PADDING: u64 = 64 * 1024;
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    // 640 MiB, of which the client takes one message.
    let mut client = connect(&gateway, &format!("/v1/counts/10000?padding={PADDING}")).await;
    client.hear().await;
    for _ in 0..200 {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    }
    let produced = upstream.observed.produced.load(Ordering::SeqCst);
    assert!(
        (PADDING..64 << 20).contains(&produced),
        "{produced} bytes produced"
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_fit_is_answered_by_http() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let reason = |json: &Value| json["details"][0]["reason"].as_str().map(str::to_owned);

    let (status, json) = refused(&gateway, "/v1/nothing", &[]).await;
    assert_eq!(
        (status, reason(&json).as_deref()),
        (404, Some("ROUTE_NOT_FOUND"))
    );
    let (status, json) = refused(&gateway, "/v1/counts/x", &[]).await;
    assert_eq!(status, 400, "{json}");
    let old = [("sec-websocket-version", "8")];
    let (status, json) = refused(&gateway, "/v1/counts/2", &old).await;
    assert_eq!(
        (status, reason(&json).as_deref()),
        (426, Some("UPGRADE_REQUIRED"))
    );
    let other = [("origin", "https://other.example")];
    let (status, json) = refused(&gateway, "/v1/counts/2", &other).await;
    assert_eq!(
        (status, reason(&json).as_deref()),
        (403, Some("ORIGIN_REFUSED"))
    );
}

#[tokio::test]
async fn pages_of_allowed_origins_connect() {
    let upstream = Upstream::start().await;
    let keys = [QUIET, ("websocket.allowed_origins", "https://app.example")];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    let allowed = [("origin", "https://app.example")];
    let (mut client, _) = open(&gateway, "/v1/counts/1", &allowed).await.unwrap();
    assert_eq!(client.hear_json().await, json!({"number": 1}));
}

#[tokio::test]
async fn a_browser_names_its_token_among_the_subprotocols() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let token = [("sec-websocket-protocol", "bearer, abc")];
    let (mut client, response) = open(&gateway, "/v1/greetings/a", &token).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "bearer");
    let metadata = client.hear_json().await["metadata"].take();
    assert_eq!(metadata["authorization"], "Bearer abc");
}

#[tokio::test]
async fn a_gateway_that_stops_says_goodbye() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let mut client = connect(&gateway, "/v1/counts/9?holdAt=1").await;
    client.hear().await;
    gateway.stop().await;
    client
        .assert_fails(tonic::Code::Unavailable, "STOPPING")
        .await;
    client.assert_closes(1001, "UNAVAILABLE").await;
}

#[tokio::test]
async fn one_stream_of_http2_is_a_connection_too() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let _connection = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://{}/v1/chats", gateway.address)
        .parse()
        .unwrap();
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let version = HeaderValue::from_static("13");
    request
        .headers_mut()
        .insert("sec-websocket-version", version);
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    let mut client = Client(socket);
    client.say(r#"{"name":"a"}"#).await;
    assert_eq!(client.hear_json().await, json!({"text": "hello a"}));
    client.say("").await;
    client.assert_closes(1000, "OK").await;
}
