//! Errors say what is wrong, where it is, and which key of the configuration governs it, in every
//! protocol.

use prost::Message;
use tokio::net::TcpListener;

use crate::grpc_web::frame;
use crate::native::{GREET, greet, unary};
use crate::support::messages::*;
use crate::support::process::GatewayProcess;
use crate::support::stranger::{Reflection, Upstream, variant};
use crate::support::{Gateway, Reply};
use crate::websocket::connect;

/// An upstream whose descriptors say of `text`, which it sends, that it is a message.
async fn lying() -> Upstream {
    let descriptors = variant(&[("string text = 1", "List text = 1")]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Upstream::serve(listener, descriptors, Reflection::V1)
}

/// The message of the error in a response of gRPC-Web.
fn grpc_message(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let (_, message) = text.split_once("grpc-message: ").unwrap();
    let message = message.lines().next().unwrap();
    let decoded = percent_encoding::percent_decode_str(message);
    decoded.decode_utf8().unwrap().into_owned()
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap().to_owned()
}

/// Greets in each protocol but gRPC's own, and returns the messages of the errors.
async fn errors(gateway: &Gateway, name: &str) -> Vec<String> {
    let request = GreetRequest {
        name: name.to_owned(),
        times: 2,
        ..Default::default()
    };
    let json = format!("{{\"name\":{name:?},\"times\":2}}");
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(json.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(json.as_bytes());
    let rest = gateway.get(&format!("/v1/greetings/{name}?times=2")).await;
    let connect_json = gateway.post(GREET, "application/json", json.clone()).await;
    let web = gateway
        .post(GREET, "application/grpc-web+json", framed)
        .await;
    let mut found = vec![message(&rest), message(&connect_json), grpc_message(&web)];
    let mut client = connect(gateway, &format!("/v1/greetings/{name}?times=2")).await;
    let error = client.hear_json().await["error"].take();
    found.push(error["message"].as_str().unwrap_or_default().to_owned());
    let web = gateway
        .post(GREET, "application/grpc-web+proto", frame(&request))
        .await;
    let connect = gateway
        .post(GREET, "application/proto", request.encode_to_vec())
        .await;
    if connect.status != 200 {
        found.extend([grpc_message(&web), message(&connect)]);
    }
    found
}

#[tokio::test]
async fn a_message_against_its_contract_is_told_with_type_field_and_problem() {
    let upstream = lying().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for error in errors(&gateway, "secret").await {
        assert_eq!(
            error,
            "the upstream sent a stranger.v1.GreetResponse that violates its own contract: \
             text: group ends without a start"
        );
    }
    let reply = gateway.get("/v1/greetings/secret").await;
    reply.assert_error(500, tonic::Code::Internal, "BAD_UPSTREAM_MESSAGE");
    let metadata = &reply.json()["details"][0]["metadata"];
    let found = ["message", "field", "problem"].map(|key| metadata[key].as_str().unwrap());
    let expected = [
        "stranger.v1.GreetResponse",
        "text",
        "group ends without a start",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_log_names_method_and_upstream_of_a_bad_message() {
    let upstream = lying().await;
    let gateway = GatewayProcess::start(&upstream, &[]).await;
    let request = http::Request::get("/v1/greetings/secret");
    gateway
        .send(request.body(http_body_util::Full::default()).unwrap())
        .await;
    let is_bad =
        |line: &serde_json::Value| line["message"] == "message of upstream violates its contract";
    let line = gateway.line("the message", is_bad).await;
    let upstream = format!("http://{}", upstream.address);
    for (key, value) in [
        ("method", GREET),
        ("upstream", &*upstream),
        ("type", "stranger.v1.GreetResponse"),
        ("error", "text: group ends without a start"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
}

#[tokio::test]
async fn a_response_above_the_limit_is_told_with_size_and_key() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("max_message_bytes", "100")]).await;
    let expected = "the upstream sent a message of 109 bytes, more than the 100 bytes that the \
                    gateway accepts (`max_message_bytes`)";
    for query in ["", "&$alt=proto"] {
        let path = format!("/v1/counts/1?padding=105{query}");
        let reply = gateway.get(&path).await;
        reply.assert_error(500, tonic::Code::Internal, "BAD_UPSTREAM_MESSAGE");
        assert_eq!(message(&reply), expected);
    }
    let found = errors(&gateway, &"x".repeat(60)).await;
    assert_eq!(found.len(), 6, "{found:?}");
    for error in found {
        assert!(
            error.ends_with(
                "more than the 100 bytes that the gateway accepts (`max_message_bytes`)"
            ),
            "{error}"
        );
        assert!(
            error.starts_with("the upstream sent a message of "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_request_above_the_limit_is_told_with_size_and_key() {
    let upstream = Upstream::start().await;
    let name = "x".repeat(99);
    for key in ["max_body_bytes", "max_message_bytes"] {
        let gateway = Gateway::ready_with(&[upstream.address], &[(key, "100")]).await;
        let limit = format!("exceeds the limit of 100 bytes (`{key}`)");
        let request = GreetRequest {
            name: name.clone(),
            ..Default::default()
        };
        let web = gateway
            .post(GREET, "application/grpc-web+proto", frame(&request))
            .await;
        let found = grpc_message(&web);
        assert_eq!(found, format!("a message of 101 bytes {limit}"));
        let reply = gateway
            .post(GREET, "application/proto", request.encode_to_vec())
            .await;
        assert_eq!(message(&reply), format!("the message {limit}"));
        let status = unary(gateway.grpc().await, GREET, greet(&name))
            .await
            .unwrap_err();
        assert!(status.message().ends_with(&limit), "{status:?}");
        assert!(
            status.message().starts_with("a message of 10"),
            "{status:?}"
        );
        if key != "max_body_bytes" {
            continue;
        }
        let json = format!("{{\"name\":{name:?}}}");
        let reply = gateway
            .post("/v1/greetings", "application/json", json.clone())
            .await;
        reply.assert_error(413, tonic::Code::ResourceExhausted, "BODY_TOO_LARGE");
        assert_eq!(message(&reply), format!("the body of 110 bytes {limit}"));
        let reply = gateway
            .post("/v1/gatherings/a", "application/x-ndjson", json.clone())
            .await;
        assert!(
            message(&reply).contains("longer than 100 bytes (`max_body_bytes`)"),
            "{reply:?}"
        );
        let mut client = connect(&gateway, "/v1/chats").await;
        client.say(json).await;
        let error = client.hear_json().await["error"].take();
        assert_eq!(error["message"], format!("the body {limit}"));
    }
}
