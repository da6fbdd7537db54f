//! A policy stage that a build adds refuses requests of every protocol, each in its own form.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;

use crate::grpc_web::{frame, frames};
use crate::native::{self, GREET};
use crate::support::messages::*;
use crate::support::stranger::{Reflection, Upstream, descriptors};
use crate::support::{Gateway, Reply, layers};
use crate::websocket;

// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../../examples/policy_stage.rs"]
mod example;

pub(crate) const BLOCKED: (&str, &str) = ("x-blocked", "1");
const COUNT: &str = "/stranger.v1.StrangerService/Count";

pub(crate) async fn gateway() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let layers = layers(&[upstream.address], &[], "");
    let gateway = Gateway::with_stages(layers, example::stages()).await;
    gateway.wait_until_ready().await;
    (upstream, gateway)
}

async fn post(gateway: &Gateway, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
    let request = Request::post(path)
        .header("content-type", content_type)
        .header(BLOCKED.0, BLOCKED.1);
    gateway.send(request.body(Full::from(body)).unwrap()).await
}

fn greet() -> GreetRequest {
    GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn rest_and_pages_refuse_in_json() {
    let (_upstream, gateway) = gateway().await;
    let get = |path: &str| Request::get(path).header(BLOCKED.0, BLOCKED.1);
    for path in ["/v1/greetings/a", "/v1/counts/3", "/openapi.json"] {
        let reply = gateway.ask(get(path)).await;
        reply.assert_error(403, Code::PermissionDenied, "BLOCKED");
    }
    // Requests without a route fail before policy.
    assert_eq!(gateway.ask(get("/v1/nothing")).await.status, 404);
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
}

#[tokio::test]
async fn grpc_refuses_with_a_status() {
    let (_upstream, gateway) = gateway().await;
    let mut request = tonic::Request::new(greet());
    request
        .metadata_mut()
        .insert(BLOCKED.0, BLOCKED.1.parse().unwrap());
    let refused = native::unary(gateway.grpc().await, GREET, request).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let reason = chassis::error::reason(&status);
    assert_eq!(reason.as_deref(), Some("BLOCKED"));
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let reply = post(&gateway, path, "application/grpc", Vec::new()).await;
    assert_eq!(reply.header("grpc-status"), "7");
    let passed = tonic::Request::new(greet());
    let passed = native::unary(gateway.grpc().await, GREET, passed).await;
    assert_eq!(passed.unwrap().into_inner().text, "hello a");
}

#[tokio::test]
async fn grpc_web_refuses_with_trailers_in_the_body() {
    let (_upstream, gateway) = gateway().await;
    let content_type = "application/grpc-web+proto";
    let reply = post(&gateway, GREET, content_type, frame(&greet())).await;
    let refused = (reply.status.as_u16(), reply.header("content-type"));
    assert_eq!(refused, (200, content_type));
    let [(0x80, trailers)] = &frames(&reply.body)[..] else {
        panic!("{reply:?}");
    };
    let trailers = String::from_utf8_lossy(trailers);
    assert!(trailers.contains("grpc-status: 7\r\n"), "{trailers}");
}

#[tokio::test]
async fn connect_refuses_with_its_own_error() {
    let (_upstream, gateway) = gateway().await;
    for (content_type, body) in [
        ("application/json", br#"{"name":"a"}"#.to_vec()),
        ("application/proto", Vec::new()),
    ] {
        let reply = post(&gateway, GREET, content_type, body).await;
        let refused = (reply.status.as_u16(), &reply.json()["code"]);
        assert_eq!(refused, (403, &json!("permission_denied")), "{reply:?}");
    }
    let request = frame(&CountRequest::default());
    let reply = post(&gateway, COUNT, "application/connect+proto", request).await;
    assert_eq!(reply.status, 200);
    let [(0b10, end)] = &frames(&reply.body)[..] else {
        panic!("{reply:?}");
    };
    let end: Value = serde_json::from_slice(end).unwrap();
    assert_eq!(end["error"]["code"], "permission_denied");
}

#[tokio::test]
async fn a_get_of_connect_refuses_with_its_own_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, descriptors("fault"), Reflection::V1);
    let layers = layers(&[upstream.address], &[], "");
    let gateway = Gateway::with_stages(layers, example::stages()).await;
    gateway.wait_until_ready().await;
    let path = "/fault.v1.FaultService/Read?connect=v1&encoding=json&message=%7B%7D";
    let reply = gateway
        .ask(Request::get(path).header(BLOCKED.0, BLOCKED.1))
        .await;
    let refused = (reply.status.as_u16(), &reply.json()["code"]);
    assert_eq!(refused, (403, &json!("permission_denied")), "{reply:?}");
}

#[tokio::test]
async fn a_websocket_refuses_its_handshake() {
    let (_upstream, gateway) = gateway().await;
    let (status, error) = websocket::refused(&gateway, "/v1/chats", &[BLOCKED]).await;
    let reason = &error["details"][0]["reason"];
    assert_eq!((status, reason), (403, &json!("BLOCKED")), "{error}");
}
