//! Keys that choose between what gateways do differently, as callers see them.

use http::StatusCode;
use serde_json::json;
use tonic::Code;

use crate::support::Gateway;
use crate::support::stranger::Upstream;

#[tokio::test]
async fn a_slash_at_the_end_is_refused_or_redirected_or_ignored() {
    let upstream = Upstream::start().await;
    for (key, value, status) in [
        ("trailing_slash", "dialect", 404),
        ("trailing_slash", "redirect", 308),
        ("trailing_slash", "ignore", 200),
        ("dialect", "envoy", 200),
    ] {
        let gateway = Gateway::start(&[upstream.address], &[(key, value)]).await;
        gateway.wait_until_ready().await;
        let reply = gateway.get("/v1/greetings/a%20b/?times=2").await;
        assert_eq!(reply.status.as_u16(), status, "{key} = {value}");
        if reply.status == StatusCode::PERMANENT_REDIRECT {
            reply.assert_error(308, Code::NotFound, "TRAILING_SLASH");
            assert_eq!(reply.header("location"), "/v1/greetings/a%20b?times=2");
            let reply = gateway.get("/v1/greetings/a/").await;
            assert_eq!(reply.header("location"), "/v1/greetings/a");
        }
    }
}

#[tokio::test]
async fn json_looks_as_configured() {
    let upstream = Upstream::start().await;
    let shown = async |keys: &[(&str, &str)], path: &str| {
        let gateway = Gateway::start(&[upstream.address], keys).await;
        gateway.wait_until_ready().await;
        gateway.get(path).await.json()
    };
    let greeting = "/v1/greetings/a?mood=MOOD_CALM&fields=text,mood";
    assert_eq!(
        shown(&[], greeting).await,
        json!({"text": "hello a", "mood": "MOOD_CALM"})
    );
    assert_eq!(
        shown(&[("enums_as_numbers", "true")], greeting).await,
        json!({"text": "hello a", "mood": 1})
    );
    let counts = "/v1/counts/1?alt=json";
    assert_eq!(shown(&[], counts).await, json!([{"number": 1}]));
    for emit_defaults in ["scalars", "all"] {
        assert_eq!(
            shown(&[("emit_defaults", emit_defaults)], counts).await,
            json!([{"number": 1, "padding": ""}])
        );
    }

    let keys = [("preserve_proto_field_names", "true")];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    let reply = gateway.post("/v1/files/a", "text/csv", "x").await;
    assert_eq!(reply.json()["content_type"], "text/csv", "{reply:?}");
}

#[tokio::test]
async fn unknown_fields_are_refused_or_ignored() {
    let upstream = Upstream::start().await;
    for (keys, status) in [
        (&[][..], 400),
        (&[("unknown_fields", "ignore")], 200),
        (&[("dialect", "envoy")], 200),
        (&[("dialect", "envoy"), ("unknown_fields", "refuse")], 400),
    ] {
        let gateway = Gateway::start(&[upstream.address], keys).await;
        gateway.wait_until_ready().await;
        let body = r#"{"name":"a","nope":[1]}"#;
        let reply = gateway
            .post("/v1/greetings", "application/json", body)
            .await;
        assert_eq!(reply.status.as_u16(), status, "{keys:?}");
    }
}

#[tokio::test]
async fn streams_look_as_in_the_gateway_that_is_imitated() {
    let upstream = Upstream::start().await;
    for (dialect, query, expected) in [
        ("envoy", "", r#"[{"number":1},{"number":2}]"#),
        ("envoy", "?alt=ndjson", "{\"number\":1}\n{\"number\":2}\n"),
        (
            "grpc-gateway",
            "?fail_at=2",
            concat!(
                r#"{"result":{"number":1,"padding":""}}"#,
                "\n",
                r#"{"error":{"code":10,"message":"cannot count that far","details":[]}}"#,
                "\n"
            ),
        ),
    ] {
        let gateway = Gateway::start(&[upstream.address], &[("dialect", dialect)]).await;
        gateway.wait_until_ready().await;
        let reply = gateway.get(&format!("/v1/counts/2{query}")).await;
        assert_eq!(reply.text(), expected, "{dialect}");
    }
}

#[tokio::test]
async fn envoy_leaves_the_status_of_grpc_beside_the_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", "envoy")]).await;
    assert_eq!(
        gateway.get("/v1/greetings/a").await.header("grpc-status"),
        "0"
    );
    let reply = gateway.get("/v1/greetings/nobody").await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("grpc-status")),
        (404, "5")
    );
    assert_eq!(
        reply.header("grpc-message"),
        "niemand:%20100%20%25%20%C3%BCbrig"
    );
}
