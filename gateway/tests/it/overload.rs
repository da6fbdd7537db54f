//! An upstream that gets more calls than its limit: refusals in every protocol, and shares of
//! clients.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::grpc_web::{frame, frames};
use crate::native::{self, GREET};
use crate::support::messages::*;
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply, eventually};
use crate::websocket;

const LOUD: &str = "198.51.100.1";
const QUIET: &str = "198.51.100.2";

/// A gateway behind a trusted proxy, with the limit of its upstream used up by one client.
struct Busy {
    _upstream: Upstream,
    gateway: Gateway,
    _hanging: JoinSet<()>,
}

impl Busy {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let keys = [
            ("trusted_proxies", "127.0.0.0/8"),
            ("client.initial_limit", "4"),
            ("client.max_waiting", "0"),
        ];
        let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
        let mut busy = Self {
            _upstream: upstream,
            gateway,
            _hanging: JoinSet::new(),
        };
        for in_flight in 1..=4 {
            busy.hang(LOUD, in_flight).await;
        }
        busy
    }

    /// Makes a call that never ends, and waits until it is in flight.
    async fn hang(&mut self, client: &str, in_flight: u64) {
        let request = from(client, "/v1/greetings/hang").body(Full::<bytes::Bytes>::default());
        let (mut sender, connection) = self.gateway.connect().await;
        self._hanging.spawn(async move {
            let _connection = connection;
            let _: Result<_, _> = sender.send_request(request.unwrap()).await;
        });
        eventually("the call is in flight", async || {
            let limits = self.limits().await;
            match limits["in_flight"] == in_flight {
                true => Ok(()),
                false => Err(limits),
            }
        })
        .await;
    }

    /// The limit of the only upstream, as operators see it.
    async fn limits(&self) -> Value {
        let page = self.gateway.get("/-/limits").await.json();
        let mut limits = page.as_object().unwrap().values();
        limits.next().unwrap().clone()
    }

    async fn ask(&self, client: &str, path: &str) -> Reply {
        self.gateway.ask(from(client, path)).await
    }

    async fn post(&self, content_type: &str, body: Vec<u8>) -> Reply {
        let request = Request::post(GREET)
            .header("content-type", content_type)
            .header("x-forwarded-for", LOUD);
        let request = request.body(Full::from(body)).unwrap();
        self.gateway.send(request).await
    }
}

fn from(client: &str, path: &str) -> http::request::Builder {
    Request::get(path).header("x-forwarded-for", client)
}

fn greet() -> GreetRequest {
    GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_protocol_says_when_to_come_back() {
    let busy = Busy::start().await;
    // Unary, and a server stream before its first message.
    for path in ["/v1/greetings/a", "/v1/counts/3"] {
        let reply = busy.ask(LOUD, path).await;
        assert_eq!(reply.header("retry-after"), "1");
        reply.assert_error(503, Code::Unavailable, "OVERLOADED");
    }
    let mut request = tonic::Request::new(greet());
    let loud = LOUD.parse().unwrap();
    request.metadata_mut().insert("x-forwarded-for", loud);
    let status = native::unary(busy.gateway.grpc().await, GREET, request).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_secs(1)));

    let reply = busy
        .post("application/json", br#"{"name":"a"}"#.to_vec())
        .await;
    let refused = (reply.status.as_u16(), &reply.json()["code"]);
    assert_eq!(refused, (503, &json!("unavailable")), "{reply:?}");
    let reply = busy
        .post("application/grpc-web+proto", frame(&greet()))
        .await;
    let [(0x80, trailers)] = &frames(&reply.body)[..] else {
        panic!("{reply:?}");
    };
    let trailers = String::from_utf8_lossy(trailers);
    assert!(trailers.contains("grpc-status: 14\r\n"), "{trailers}");
}

#[tokio::test]
async fn a_websocket_says_when_to_come_back_and_closes_with_the_code() {
    let mut busy = Busy::start().await;
    let loud = [("x-forwarded-for", LOUD)];
    let refused = async |busy: &Busy, path: &str, code: u16, name: &str, reason: &str| {
        let opened = websocket::open(&busy.gateway, path, &loud).await;
        let (mut client, _) = opened.unwrap();
        let error = client.hear_json().await["error"].take();
        assert_eq!(error["code"], code, "{path}: {error}");
        assert_eq!(error["details"][0]["reason"], reason, "{path}: {error}");
        assert_eq!(error["details"][1]["retryDelay"], "1s", "{path}: {error}");
        client.assert_closes(4000 + code, name).await;
    };
    for path in ["/v1/greetings/a", "/v1/counts/3", "/v1/chats", "/v1/lists"] {
        refused(&busy, path, 14, "UNAVAILABLE", "OVERLOADED").await;
    }
    let quiet = [("x-forwarded-for", QUIET)];
    let opened = websocket::open(&busy.gateway, "/v1/greetings/a", &quiet).await;
    let mut client = opened.unwrap().0;
    assert_eq!(client.hear_json().await["text"], "hello a");
    busy.hang(QUIET, 5).await;
    let name = "RESOURCE_EXHAUSTED";
    refused(&busy, "/v1/greetings/a", 8, name, "CLIENT_OVER_SHARE").await;
}

#[tokio::test]
async fn another_client_is_served_and_the_loud_one_told_that_it_is_loud() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.ask(QUIET, "/v1/greetings/a").await.status, 200);
    // The only place beyond the limit, which is for clients with less than their share.
    busy.hang(QUIET, 5).await;
    let reply = busy.ask(LOUD, "/v1/greetings/a").await;
    assert_eq!(reply.header("retry-after"), "1");
    reply.assert_error(429, Code::ResourceExhausted, "CLIENT_OVER_SHARE");
}

#[tokio::test]
async fn probes_reflection_and_pages_are_always_served() {
    let busy = Busy::start().await;
    for path in ["/healthz", "/readyz", "/openapi.json", "/-/schema"] {
        assert_eq!(busy.gateway.get(path).await.status, 200, "{path}");
    }
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let request = Request::post(path).header("content-type", "application/grpc");
    let reply = busy
        .gateway
        .send(request.body(Full::default()).unwrap())
        .await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.header("grpc-status"), "14");
}

#[tokio::test]
async fn operators_see_what_the_limit_does() {
    let busy = Busy::start().await;
    busy.ask(LOUD, "/v1/greetings/a").await;
    let limits = busy.limits().await;
    assert_eq!(limits["limit"], 4);
    assert_eq!(limits["queued"], 0);
    assert_eq!(limits["admitted"], 4);
    assert_eq!(limits["rejected"]["overloaded"], 1);
    let metrics = busy.gateway.get("/metrics").await.text();
    for (name, value) in [
        ("admission_limit", 4),
        ("admission_in_flight", 4),
        ("admission_admitted_total", 4),
        ("admission_rejected_total", 1),
    ] {
        let mut lines = metrics.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.ends_with(&format!(" {value}")));
        assert!(line.is_some(), "{name}: {metrics}");
    }
}

#[tokio::test]
async fn a_stream_holds_its_slot_until_it_has_begun() {
    let upstream = Upstream::start().await;
    let keys = [("client.initial_limit", "2"), ("client.max_waiting", "0")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let request = Request::get("/v1/counts/9?hold_at=2");
        let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
        let (response, connection) = gateway.open(request).await;
        assert_eq!(response.status(), 200);
        open.push((response, connection));
    }
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
}
