//! Rules of the contract at the edge: what clients of protovalidate get, the order of refusals, and
//! upstreams that validate themselves.

use http::Request;
use http_body_util::Full;
use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic_types::pb;

use crate::native::{self, GREET};
use crate::policy_stage;
use crate::support::Gateway;
use crate::support::messages::GreetRequest;
use crate::support::stranger::Upstream;

fn invalid() -> GreetRequest {
    GreetRequest {
        name: "a".to_owned(),
        times: 101,
        ..Default::default()
    }
}

#[tokio::test]
async fn clients_of_protovalidate_get_its_own_detail_too() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = tonic::Request::new(invalid());
    let status = native::unary(gateway.grpc().await, GREET, request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = pb::Status::decode(status.details()).unwrap().details;
    let types = details
        .iter()
        .map(|detail| detail.type_url.rsplit('/').next().unwrap());
    assert_eq!(
        types.collect::<Vec<_>>(),
        [
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest",
            "buf.validate.Violations"
        ]
    );
    let violations = &details[2].value;
    let rule = b"int32.gte_lte";
    assert!(
        violations.windows(rule.len()).any(|text| text == rule),
        "{violations:?}"
    );
}

#[tokio::test]
async fn a_request_is_authorized_before_it_is_validated() {
    let (_upstream, gateway) = policy_stage::gateway().await;
    let (name, value) = policy_stage::BLOCKED;
    let mut request = tonic::Request::new(invalid());
    request.metadata_mut().insert(name, value.parse().unwrap());
    let status = native::unary(gateway.grpc().await, GREET, request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    for (path, body) in [
        ("/v1/greetings", r#"{"name":"a","times":101}"#),
        (GREET, r#"{"name":"a","times":101}"#),
        ("/v1/greetings", "no JSON"),
    ] {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header(name, value);
        let reply = gateway.send(request.body(Full::from(body)).unwrap()).await;
        assert_eq!(reply.status, 403, "{path} {body}: {reply:?}");
    }
}

#[tokio::test]
async fn an_upstream_may_validate_its_requests_itself() {
    let upstream = Upstream::start().await;
    for (validation, is_checked) in [
        ("", true),
        ("validation = true", true),
        ("validation = false", false),
    ] {
        let gateway = Gateway::with_file(&format!(
            "reflect_interval_ms = 20\n[upstream.stranger]\nendpoints = [\"http://{}\"]\n\
             [upstream.stranger.schema]\n{validation}",
            upstream.address
        ))
        .await;
        gateway.wait_until_ready().await;
        let request = tonic::Request::new(invalid());
        let answer = native::unary(gateway.grpc().await, GREET, request).await;
        assert_eq!(answer.is_err(), is_checked, "{validation}: {answer:?}");
        let status = if is_checked { 400 } else { 200 };
        let body = r#"{"name":"a","times":101}"#;
        for path in ["/v1/greetings", GREET] {
            let reply = gateway.post(path, "application/json", body).await;
            assert_eq!(reply.status, status, "{validation} {path}: {reply:?}");
        }
        // The gateway itself refuses JSON that does not fit the types of the contract.
        let reply = gateway
            .post("/v1/greetings", "application/json", r#"{"times":"many"}"#)
            .await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (400, &json!(3))
        );
    }
}
