//! Connect: unary calls in JSON and protobuf, streams with their last message, and every failure in
//! its form.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::grpc_web::{frame, frames};
use crate::native::GREET;
use crate::support::messages::*;
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply};

const COUNT: &str = "/stranger.v1.StrangerService/Count";
const GATHER: &str = "/stranger.v1.StrangerService/Gather";

async fn gateway() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("max_body_bytes", "1000")]).await;
    (upstream, gateway)
}

#[track_caller]
fn assert_error(reply: &Reply, status: u16, code: &str, reason: &str) {
    let found = reply.json();
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(
        (reply.status.as_u16(), &found["code"]),
        (status, &json!(code)),
        "{reply:?}"
    );
    let details = found["details"].as_array().unwrap();
    let info = details
        .iter()
        .find(|detail| detail["type"] == "google.rpc.ErrorInfo");
    assert_eq!(info.unwrap()["debug"]["reason"], reason, "{reply:?}");
}

#[tokio::test]
async fn a_unary_call_is_plain_http_in_json_and_protobuf() {
    let (_upstream, gateway) = gateway().await;
    let reply = gateway
        .post(GREET, "application/json", r#"{"name":"a"}"#)
        .await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["text"]),
        (200, &json!("hello a"))
    );
    assert_eq!(reply.header("content-type"), "application/json");
    let request = GreetRequest {
        name: "b".to_owned(),
        ..Default::default()
    };
    let reply = gateway
        .post(GREET, "application/proto", request.encode_to_vec())
        .await;
    assert_eq!(reply.header("content-type"), "application/proto");
    assert_eq!(GreetResponse::decode(reply.body).unwrap().text, "hello b");
}

#[tokio::test]
async fn a_failed_unary_call_has_a_status_a_code_and_trailers_of_its_own() {
    let (_upstream, gateway) = gateway().await;
    let reply = gateway
        .post(GREET, "application/json", r#"{"name":"nobody"}"#)
        .await;
    assert_error(&reply, 404, "not_found", "NOBODY");
    assert_eq!(reply.json()["message"], "niemand: 100 % übrig");
    assert_eq!(reply.header("trailer-x-trail"), "kept");
    let unknown = gateway
        .post("/no.Such/Method", "application/proto", "")
        .await;
    assert_error(&unknown, 404, "unimplemented", "UNKNOWN_SERVICE");
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(2000));
    let large = gateway.post(GREET, "application/json", large).await;
    assert_error(&large, 429, "resource_exhausted", "MESSAGE_TOO_LARGE");
    let malformed = gateway
        .post(GREET, "application/json", r#"{"name":1}"#)
        .await;
    assert_eq!(
        (malformed.status.as_u16(), &malformed.json()["code"]),
        (400, &json!("invalid_argument"))
    );
}

#[tokio::test]
async fn what_is_no_call_of_the_method_is_answered_as_http() {
    let (_upstream, gateway) = gateway().await;
    for (path, content_type, status) in [
        (GREET, "application/foo", 415),
        (GREET, "application/connect+proto", 415),
        (COUNT, "application/proto", 415),
    ] {
        let reply = gateway.post(path, content_type, "").await;
        assert_eq!(reply.status, status, "{path} {content_type}");
    }
    // Greeting may have side effects.
    let reply = gateway
        .get(&format!("{GREET}?connect=v1&encoding=json&message=%7B%7D"))
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("allow")),
        (405, "POST")
    );
}

#[tokio::test]
async fn plain_json_at_the_path_of_a_stream_is_answered_as_the_json_api_does() {
    let (_upstream, gateway) = gateway().await;
    for (accept, content_type, expected) in [
        (
            "*/*",
            "application/x-ndjson",
            "{\"number\":1}\n{\"number\":2}\n",
        ),
        (
            "application/json",
            "application/json",
            r#"[{"number":1},{"number":2}]"#,
        ),
        (
            "text/event-stream",
            "text/event-stream",
            "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\nevent: end\ndata: {}\n\n",
        ),
    ] {
        let request = Request::post(COUNT)
            .header("content-type", "application/json")
            .header("accept", accept);
        let body = Full::new(Bytes::from_static(br#"{"to":2}"#));
        let reply = gateway.send(request.body(body).unwrap()).await;
        assert_eq!(reply.header("content-type"), content_type, "{reply:?}");
        assert_eq!(reply.text(), expected);
    }
    let lines = "{\"name\":\"a\"}\n{\"name\":\"b\"}\n";
    let gathered = gateway.post(GATHER, "application/x-ndjson", lines).await;
    assert_eq!(gathered.status, 200, "{gathered:?}");
    assert_eq!(gathered.json()["text"], "a*0 b*0");
    let refused = gateway
        .post(GATHER, "application/json", r#"[{"name":"a","times":500}]"#)
        .await;
    refused.assert_error(400, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn what_says_that_it_is_connect_or_a_form_is_no_plain_json() {
    let (_upstream, gateway) = gateway().await;
    let request = Request::post(COUNT)
        .header("content-type", "application/json")
        .header("connect-protocol-version", "1");
    let body = Full::new(Bytes::from_static(br#"{"to":2}"#));
    let reply = gateway.send(request.body(body).unwrap()).await;
    assert_eq!(reply.status, 415, "{reply:?}");
    for content_type in ["application/x-www-form-urlencoded", "text/plain"] {
        let reply = gateway.post(COUNT, content_type, r#"{"to":2}"#).await;
        assert_eq!(reply.status, 415, "{content_type}: {reply:?}");
    }
    // What curl sends by default: never read as JSON, and told so.
    let form = "application/x-www-form-urlencoded";
    for (path, body) in [(COUNT, r#"{"to":2}"#), ("/v1/greetings", r#"{"name":"a"}"#)] {
        let reply = gateway.post(path, form, body).await;
        let hint = "send `-H 'content-type: application/json'`";
        assert!(reply.text().contains(hint), "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_a_message_that_says_how() {
    let (_upstream, gateway) = gateway().await;
    let request = CountRequest {
        to: 3,
        fail_at: 3,
        ..Default::default()
    };
    let reply = gateway
        .post(COUNT, "application/connect+proto", frame(&request))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/connect+proto");
    let answer = frames(&reply.body);
    assert_eq!(
        answer.iter().map(|frame| frame.0).collect::<Vec<_>>(),
        [0, 0, 2]
    );
    let end: serde_json::Value = serde_json::from_slice(&answer[2].1).unwrap();
    assert_eq!(end["error"]["code"], "aborted");
}

#[tokio::test]
async fn a_torn_message_is_an_error_and_not_an_end() {
    let (_upstream, gateway) = gateway().await;
    let mut body = frame(&GreetRequest::default());
    body.extend_from_slice(&[0, 0, 0, 0, 9, b'x']);
    for content_type in ["application/connect+proto", "application/connect+json"] {
        let reply = gateway.post(GATHER, content_type, body.clone()).await;
        let answer = frames(&reply.body);
        let end: serde_json::Value = serde_json::from_slice(&answer.last().unwrap().1).unwrap();
        assert!(end["error"]["code"].is_string(), "{content_type}: {end}");
    }
}

#[tokio::test]
async fn rules_of_the_contract_are_checked_whatever_the_protocol() {
    let (_upstream, gateway) = gateway().await;
    let json = r#"{"name":"a","times":500}"#;
    let rest = gateway
        .post("/v1/greetings", "application/json", json)
        .await;
    let expected = &rest.json()["details"][1]["fieldViolations"];
    assert_eq!(expected[0]["field"], "times", "{rest:?}");
    let wire = GreetRequest {
        name: "a".to_owned(),
        times: 500,
        ..Default::default()
    }
    .encode_to_vec();
    for (content_type, body) in [
        ("application/json", json.into()),
        ("application/proto", wire),
    ] {
        let reply = gateway.post(GREET, content_type, body).await;
        assert_error(&reply, 400, "invalid_argument", "INVALID_FIELD");
        let bad_request = &reply.json()["details"][1]["debug"];
        assert_eq!(&bad_request["fieldViolations"], expected, "{content_type}");
    }
}
