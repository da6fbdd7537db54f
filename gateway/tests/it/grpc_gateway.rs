//! The dialect of grpc-gateway, as clients see it that were written for grpc-gateway v2. The
//! expected values are those of its `runtime` package.

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tonic::Code;

use crate::support::stranger::{Reflection, Upstream, variant};
use crate::support::{Gateway, Reply};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

async fn started() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", "grpc-gateway")]).await;
    (upstream, gateway)
}

async fn send(gateway: &Gateway, request: Builder, body: &'static str) -> Reply {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    gateway.send(request.body(body).unwrap()).await
}

#[tokio::test]
async fn json_is_taken_whatever_its_content_type() {
    let upstream = Upstream::start().await;
    for dialect in ["grpc-gateway", "envoy"] {
        let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", dialect)]).await;
        for content_type in [
            None,
            Some(FORM),
            Some("text/plain"),
            Some("application/json; charset=latin1"),
        ] {
            let mut request = Request::post("/v1/greetings");
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let reply = send(&gateway, request, r#"{"name":"a=b"}"#).await;
            assert_eq!(
                reply.json()["text"],
                "hello a=b",
                "{dialect} {content_type:?}"
            );

            let mut request = Request::post("/v1/gatherings/x");
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let reply = send(&gateway, request, r#"{"times":1}"#).await;
            assert_eq!(reply.status, 200, "{dialect} {content_type:?} {reply:?}");
        }
        let reply = gateway.post("/v1/greetings", FORM, "name=a&times=1").await;
        assert_eq!(reply.json()["text"], "hello a", "{dialect}");
        let reply = gateway.post("/v1/greetings", "text/plain", "name").await;
        assert_eq!(reply.status, 400, "{dialect}");
    }
}

#[tokio::test]
async fn strict_says_what_it_took_a_body_for_and_what_to_send() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (content_type, status, taken_for) in [
        (FORM, 400, "read as form fields"),
        ("text/plain", 415, "unsupported content type `text/plain`"),
    ] {
        let reply = gateway
            .post("/v1/greetings", content_type, r#"{"name":"x"}"#)
            .await;
        let message = reply.json()["message"].to_string();
        assert_eq!(reply.status, status, "{message}");
        assert!(message.contains(taken_for), "{message}");
        assert!(message.contains("application/json"), "{message}");
    }
    let request = Request::post("/v1/greetings");
    let reply = send(&gateway, request, r#"{"name":"x"}"#).await;
    assert_eq!(reply.json()["text"], "hello x");
}

#[tokio::test]
async fn a_stream_is_lines_of_json_whatever_is_accepted() {
    let (_upstream, gateway) = started().await;
    let lines = "{\"result\":{\"number\":1,\"padding\":\"\"}}\n";
    for (accept, content_type) in [
        ("application/json", JSON),
        ("*/*", JSON),
        ("text/html", JSON),
        ("application/x-ndjson", "application/x-ndjson"),
    ] {
        let reply = gateway
            .ask(Request::get("/v1/counts/1").header("accept", accept))
            .await;
        let found = (reply.text(), reply.header("content-type"));
        assert_eq!(found, (lines.to_owned(), content_type), "{accept}");
    }
    let reply = gateway.get("/v1/counts/1").await;
    assert_eq!(
        (reply.text(), reply.header("content-type")),
        (lines.to_owned(), JSON)
    );
    let reply = gateway
        .ask(Request::get("/v1/greetings/a").header("accept", "text/html"))
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_first_error_of_a_stream_is_wrapped_and_those_before_it_are_not() {
    let (_upstream, gateway) = started().await;
    let reply = gateway.get("/v1/counts/2?fail_at=1").await;
    let expected =
        "{\"error\":{\"code\":10,\"message\":\"cannot count that far\",\"details\":[]}}\n";
    assert_eq!((reply.status.as_u16(), &*reply.text()), (409, expected));
    assert_eq!(reply.header("content-type"), JSON);

    let reply = gateway.get("/v1/counts/many").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["code"]),
        (400, &json!(3))
    );
}

#[tokio::test]
async fn a_broken_rule_is_wrapped_as_the_upstream_would_have_been() {
    let ruled = "int32 padding = 4 [(buf.validate.field).int32.lte = 9]";
    let descriptors = variant(&[("int32 padding = 4", ruled)]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, descriptors, Reflection::V1);
    for (dialect, is_wrapped) in [("grpc-gateway", true), ("strict", false), ("envoy", false)] {
        let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", dialect)]).await;
        let reply = gateway.get("/v1/counts/2?padding=10").await;
        let mut json = reply.json();
        if is_wrapped {
            json = json["error"].take();
            assert!(reply.text().ends_with("}\n"), "{reply:?}");
        }
        assert_eq!(
            (reply.status.as_u16(), &json["code"]),
            (400, &json!(3)),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn trailers_of_an_error_stay_trailers() {
    let (_upstream, gateway) = started().await;
    let failing = || {
        Request::get("/v1/counts/2?fail_at=1")
            .header("grpc-metadata-echo-x-shard", "7")
            .header("grpc-metadata-echo-trailer-x-sum", "1")
    };
    let reply = gateway.ask(failing()).await;
    assert_eq!(reply.status, 409);
    assert_eq!(reply.header("grpc-metadata-x-shard"), "7");
    for name in [
        "x-sum",
        "grpc-metadata-x-sum",
        "grpc-trailer-x-sum",
        "trailer",
    ] {
        assert!(!reply.headers.contains_key(name), "{name}: {reply:?}");
    }
    let request = failing()
        .header("te", "trailers")
        .body(Full::<Bytes>::default());
    let (response, _connection) = gateway.open(request.unwrap()).await;
    assert_eq!(response.headers()["trailer"], "grpc-trailer-x-sum");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-trailer-x-sum"], "1");

    let reply = gateway.get("/v1/greetings/nobody").await;
    assert!(
        reply
            .headers
            .keys()
            .all(|name| !name.as_str().contains("x-trail"))
    );
}

#[tokio::test]
async fn a_form_binds_where_the_rule_has_no_body() {
    let (_upstream, gateway) = started().await;
    // A query too long for a URL: POST stands for GET, the only method of the path.
    let reply = gateway
        .post("/v1/greetings/a", FORM, "times=2&mood=MOOD_CALM")
        .await;
    let found = (&reply.json()["text"], &reply.json()["mood"]);
    assert_eq!(found, (&json!("hello a, hello a"), &json!("MOOD_CALM")));
    let reply = gateway.post("/v1/gatherings/a", FORM, "").await;
    assert_eq!(reply.status, 200, "{reply:?}");

    let overridden = |method| {
        Request::post("/v1/greetings/a")
            .header("content-type", FORM)
            .header("x-http-method-override", method)
    };
    let reply = send(&gateway, overridden("get"), "times=2").await;
    assert_eq!(reply.json()["text"], "hello a, hello a");
    assert_eq!(send(&gateway, overridden("DELETE"), "").await.status, 501);
    // Only forms may override.
    let request = Request::post("/v1/greetings")
        .header("content-type", JSON)
        .header("x-http-method-override", "DELETE");
    let reply = send(&gateway, request, r#"{"name":"a"}"#).await;
    assert_eq!(reply.json()["text"], "hello a");
}

#[tokio::test]
async fn a_method_without_a_route_is_not_implemented() {
    let (_upstream, gateway) = started().await;
    let reply = gateway.post("/v1/counts/1", JSON, "{}").await;
    reply.assert_error(501, Code::Unimplemented, "METHOD_NOT_ALLOWED");
    gateway
        .get("/v1/nope")
        .await
        .assert_error(404, Code::NotFound, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn headers_become_metadata_by_its_rules() {
    let (_upstream, gateway) = started().await;
    let request = Request::get("/v1/greetings/a")
        .header("grpc-metadata-tenant", "t\u{e4}")
        .header("grpc-metadata-x-shard", "7")
        .header("cookie", "a=b")
        .header("authorization", "Bearer x")
        .header("user-agent", "tests");
    let metadata = gateway.ask(request).await.json()["metadata"].clone();
    assert_eq!(metadata["tenant"], json!(null), "{metadata}");
    for (name, value) in [
        ("x-shard", "7"),
        ("authorization", "Bearer x"),
        ("grpcgateway-authorization", "Bearer x"),
        ("grpcgateway-cookie", "a=b"),
        ("grpcgateway-user-agent", "tests"),
    ] {
        assert_eq!(metadata[name], value, "{metadata}");
    }
    let request = Request::get("/v1/greetings/code-9").header("if-match", "\"1\"");
    assert_eq!(gateway.ask(request).await.status, 400);
}
