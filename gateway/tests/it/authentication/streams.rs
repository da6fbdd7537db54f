//! A stream of each protocol ends with the credential of its caller.

use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Guarded, said};
use crate::grpc_web::frame;
use crate::support::issuer::in_seconds;
use crate::support::messages::CountRequest;
use crate::support::{eventually, soon};
use crate::websocket;

const COUNT: &str = "/stranger.v1.StrangerService/Count";

/// A stream of each protocol but WebSocket, which sends one message and then nothing.
fn streams(bearer: &str) -> Vec<(&'static str, Request<Full<bytes::Bytes>>)> {
    let message = CountRequest {
        to: 9,
        hold_at: 1,
        ..Default::default()
    };
    let json = br#"{"to":9,"holdAt":1}"#;
    let enveloped = [&[0, 0, 0, 0, 19][..], json].concat();
    let get = |accept: &str| {
        let request = Request::get("/v1/counts/9?holdAt=1").header("accept", accept);
        let request = request.header("authorization", bearer);
        request.body(Full::default()).unwrap()
    };
    let post = |content_type: &str, body: Vec<u8>| {
        let request = Request::post(COUNT).header("content-type", content_type);
        let request = request.header("authorization", bearer);
        request.body(Full::from(body)).unwrap()
    };
    vec![
        ("NDJSON", get("application/x-ndjson")),
        ("JSON array", get("application/json")),
        ("SSE", get("text/event-stream")),
        (
            "gRPC-Web",
            post("application/grpc-web+proto", frame(&message)),
        ),
        ("gRPC-Web text", {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(frame(&message));
            post("application/grpc-web-text", text.into_bytes())
        }),
        ("Connect", post("application/connect+json", enveloped)),
    ]
}

/// Opens all streams, and returns what each has said when it has ended.
async fn ends(
    guarded: &Guarded,
    token: &str,
    begun: impl AsyncFnOnce(),
) -> Vec<(&'static str, String)> {
    let bearer = format!("Bearer {token}");
    let plain = join_all(streams(&bearer).into_iter().map(async |(name, request)| {
        let reply = soon(name, guarded.gateway.send(request)).await;
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
        (name, said(&reply))
    }));
    let grpc = async {
        let mut request = tonic::Request::new(CountRequest {
            to: 9,
            hold_at: 1,
            ..Default::default()
        });
        let value = bearer.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        let mut client = tonic::client::Grpc::new(guarded.gateway.grpc().await);
        client.ready().await.unwrap();
        let codec =
            tonic_prost::ProstCodec::<_, crate::support::messages::CountResponse>::default();
        let path = http::uri::PathAndQuery::from_static(COUNT);
        let mut stream = client
            .server_streaming(request, path, codec)
            .await
            .unwrap()
            .into_inner();
        assert!(stream.message().await.unwrap().is_some());
        let end = soon("the end of gRPC", stream.message()).await.unwrap_err();
        assert_eq!(end.code(), tonic::Code::Unauthenticated);
        ("gRPC", end.message().to_owned())
    };
    let websocket = async {
        // Leaked, as the helper takes headers that live as long as the test.
        let protocols: &'static str = Box::leak(format!("bearer, {token}").into_boxed_str());
        let headers = [("sec-websocket-protocol", protocols)];
        let opened = websocket::open(&guarded.gateway, "/v1/chats", &headers).await;
        let mut client = opened.unwrap().0;
        client.say(r#"{"name":"a"}"#).await;
        assert_eq!(client.hear_json().await["text"], "hello a");
        let end: Value = client.hear_json().await;
        assert_eq!(end["error"]["code"], 16, "{end}");
        client.assert_closes(4016, "UNAUTHENTICATED").await;
        ("WebSocket", end.to_string())
    };
    let (mut all, grpc, websocket, ()) = tokio::join!(plain, grpc, websocket, begun());
    all.extend([grpc, websocket]);
    all
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let guarded = Guarded::start("stream_grace_ms = 0").await;
    let expiry = in_seconds(SystemTime::now(), 4);
    let token = guarded.token(json!({ "exp": expiry }));
    for (name, said) in ends(&guarded, &token, async || {}).await {
        assert!(said.contains("the token has expired"), "{name}: {said}");
    }
    assert!(in_seconds(SystemTime::now(), 0) >= expiry);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let guarded = Guarded::start("").await;
    let token = guarded.token(json!({ "jti": "stolen" }));
    let mut revoked = Instant::now();
    let begun = async || {
        let open = streams("").len() + 2;
        eventually("all streams are open", async || {
            let metrics = guarded.gateway.get("/metrics").await.text();
            let accepted = metrics.lines().filter(|line| line.starts_with("auth_"));
            let count: usize = accepted
                .filter(|line| line.contains("accepted") || line.contains("cache_hits_total"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
                .sum();
            if count >= open { Ok(()) } else { Err(metrics) }
        })
        .await;
        let list = json!({ "revoked": [{ "id": "stolen" }] });
        *guarded.issuer.state.revoked.lock().unwrap() = list;
        revoked = Instant::now();
    };
    for (name, said) in ends(&guarded, &token, begun).await {
        assert!(
            said.contains("the credential was revoked"),
            "{name}: {said}"
        );
    }
    assert!(revoked.elapsed() < Duration::from_secs(5));
    let request =
        Request::get("/v1/greetings/a").header("authorization", format!("Bearer {token}"));
    let reply = guarded.gateway.ask(request).await;
    reply.assert_error(401, tonic::Code::Unauthenticated, "CREDENTIAL_REVOKED");
}
