//! Unary calls over the JSON API: routes, bodies, errors, headers, deadlines.

use http::Request;
use http_body_util::Full;
use serde_json::json;
use tonic::Code;

use crate::support::Gateway;
use crate::support::stranger::{Upstream, happened};

#[tokio::test]
async fn path_query_and_body_reach_a_service_that_was_learned() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let reply = gateway.get("/v1/greetings/a%20b?times=2").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.json()["text"], "hello a b, hello a b");

    let reply = gateway
        .post(
            "/v1/greetings",
            "application/json",
            r#"{"name":"c","times":1}"#,
        )
        .await;
    assert_eq!(reply.json()["text"], "hello c");

    let reply = gateway.get("/v1/files/page").await;
    assert_eq!(
        (reply.header("content-type"), reply.text().as_str()),
        ("text/html; charset=utf-8", "<page>")
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let get = gateway.get("/v1/files/page").await;
    let head = gateway
        .send(
            Request::head("/v1/files/page")
                .body(Full::default())
                .unwrap(),
        )
        .await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (get.status, get.header("content-type"))
    );
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn head_of_a_stream_begins_it_only_and_head_may_have_a_rule() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();

    let path = "/v1/counts/9?hold_at=2";
    for (accept, content_type) in [
        ("text/event-stream", "text/event-stream"),
        ("application/json", "application/json"),
    ] {
        let reply = gateway
            .ask(Request::head(path).header("accept", accept))
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, content_type)
        );
        assert!(reply.body.is_empty() && !reply.headers.contains_key("content-length"));
    }
    // Unread bodies are not kept open.
    happened(&mut events, "Count dropped").await;

    let reply = gateway.ask(Request::head("/v1/heads/page")).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("content-length")),
        (200, "6")
    );
    let reply = gateway.get("/v1/heads/page").await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("allow")),
        (405, "HEAD")
    );
    let reply = gateway.ask(Request::head("/v1/nowhere")).await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.is_empty() && reply.header("content-length") != "0");
}

#[tokio::test]
async fn forms_and_protobuf_say_the_same_as_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let json = gateway
        .post(
            "/v1/greetings",
            "application/json",
            r#"{"name":"Ada","times":2}"#,
        )
        .await;
    assert_eq!(json.status, 200, "{:?}", json.body);
    for (content_type, body) in [
        (
            "application/x-www-form-urlencoded",
            &b"name=Ada&times=2"[..],
        ),
        ("application/x-protobuf", b"\x0a\x03Ada\x10\x02"),
    ] {
        let other = gateway.post("/v1/greetings", content_type, body).await;
        assert_eq!(other.json()["text"], json.json()["text"], "{content_type}");
    }
    gateway
        .post("/v1/greetings", "application/x-protobuf", &b"\x0a"[..])
        .await
        .assert_error(400, Code::InvalidArgument, "INVALID_PROTOBUF");
}

#[tokio::test]
async fn only_the_fields_that_were_asked_for_are_shown() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (fields, expected) in [
        ("fields=text", json!({"text": "hello a"})),
        ("%24fields=mood%2Ctext", json!({"text": "hello a"})),
        ("$fields=mood", json!({})),
    ] {
        let reply = gateway.get(&format!("/v1/greetings/a?{fields}")).await;
        assert_eq!(reply.json(), expected, "{fields}");
    }
    let reply = gateway.get("/v1/greetings/a?$fields=").await;
    assert!(reply.json()["metadata"].is_object(), "{reply:?}");

    let reply = gateway.get("/v1/greetings/hang?fields=text,nope").await;
    reply.assert_error(400, Code::InvalidArgument, "UNKNOWN_FIELD");
    let field = &reply.json()["details"][1]["fieldViolations"][0]["field"];
    assert_eq!(field, "nope");
    // Raw bytes have no fields.
    let reply = gateway.get("/v1/files/page?fields=nope").await;
    assert_eq!(reply.text(), "<page>");
}

#[tokio::test]
async fn broken_rules_of_the_contract_are_all_told_as_services_tell_them() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let long = "x".repeat(101);
    let path = format!("/v1/greetings/{long}?times=101");
    let body = format!(r#"{{"name":"{long}","times":101}}"#);
    for reply in [
        gateway.get(&path).await,
        gateway
            .post("/v1/greetings", "application/json", body)
            .await,
    ] {
        reply.assert_error(400, Code::InvalidArgument, "INVALID_FIELD");
        let json = reply.json();
        assert_eq!(
            json["message"],
            "name: must be at most 100 bytes (and 1 more)"
        );
        assert_eq!(
            json["details"][1],
            json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {
                        "field": "name",
                        "description": "must be at most 100 bytes",
                        "reason": "string.max_bytes",
                    },
                    {
                        "field": "times",
                        "description": "must be greater than or equal to 0 and less than or equal to 100",
                        "reason": "int32.gte_lte",
                    },
                ],
            })
        );
    }
}

#[tokio::test]
async fn what_the_gateway_refuses_is_a_status_in_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[("max_body_bytes", "100")]).await;
    gateway.wait_until_ready().await;

    gateway
        .get("/v1/nowhere")
        .await
        .assert_error(404, Code::NotFound, "ROUTE_NOT_FOUND");

    let reply = gateway
        .send(
            Request::delete("/v1/greetings")
                .body(Full::default())
                .unwrap(),
        )
        .await;
    reply.assert_error(405, Code::Unimplemented, "METHOD_NOT_ALLOWED");
    assert_eq!(reply.header("allow"), "POST");

    gateway
        .get("/v1/greetings/%zz")
        .await
        .assert_error(400, Code::InvalidArgument, "BAD_PATH");
    gateway
        .get(&"/a".repeat(100))
        .await
        .assert_error(414, Code::InvalidArgument, "PATH_TOO_LONG");
    gateway.get("/v1/greetings/a?time=1").await.assert_error(
        400,
        Code::InvalidArgument,
        "UNKNOWN_FIELD",
    );

    let reply = gateway
        .post("/v1/greetings", "application/json", r#"{"name":1}"#)
        .await;
    reply.assert_error(400, Code::InvalidArgument, "INVALID_VALUE");
    assert_eq!(
        reply.json()["details"][1]["fieldViolations"][0]["field"],
        "name"
    );

    let reply = gateway.post("/v1/greetings", "application/json", "{").await;
    reply.assert_error(400, Code::InvalidArgument, "INVALID_JSON");

    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(100));
    let reply = gateway
        .post("/v1/greetings", "application/json", long)
        .await;
    reply.assert_error(413, Code::ResourceExhausted, "BODY_TOO_LARGE");

    let reply = gateway.post("/v1/greetings", "text/csv", "a,b").await;
    reply.assert_error(415, Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE");

    let request = Request::get("/v1/greetings/a").header("accept", "image/png");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    reply.assert_error(406, Code::InvalidArgument, "NOT_ACCEPTABLE");

    let request = Request::get("/v1/greetings/a").header("request-timeout", "soon");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    reply.assert_error(400, Code::InvalidArgument, "BAD_HEADER");
}

#[tokio::test]
async fn an_error_of_the_upstream_keeps_message_details_and_pause() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let reply = gateway.get("/v1/greetings/nobody").await;
    let expected = json!({
        "code": Code::NotFound as i32,
        "message": "niemand: 100 % übrig",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"},
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NOBODY", "domain": "stranger", "metadata": {"name": "nobody"},
            },
        ],
    });
    assert_eq!((reply.status.as_u16(), reply.json()), (404, expected));
    assert_eq!(reply.header("retry-after"), "2");
}

#[tokio::test]
async fn a_response_over_the_bound_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let reply = gateway.get("/v1/greetings/huge").await;
    reply.assert_error(500, Code::Internal, "BAD_UPSTREAM_MESSAGE");
}

#[tokio::test]
async fn allowed_headers_become_metadata() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let request = Request::get("/v1/greetings/a")
        .header("authorization", "Bearer x")
        .header("cookie", "secret")
        .header("idempotency-key", "k")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("grpc-metadata-tenant", "t");
    let metadata = gateway
        .send(request.body(Full::default()).unwrap())
        .await
        .json()["metadata"]
        .clone();
    assert_eq!(metadata["authorization"], "Bearer x");
    assert_eq!(metadata["idempotency-key"], "k");
    assert_eq!(metadata["tenant"], "t");
    let traceparent = metadata["traceparent"].as_str().unwrap();
    assert!(
        traceparent.contains("0af7651916cd43dd8448eb211c80319c"),
        "{traceparent}"
    );
    assert_eq!(metadata["cookie"], json!(null));
    assert_eq!(
        metadata["grpc-timeout"],
        json!(null),
        "no deadline is invented"
    );
}

#[tokio::test]
async fn the_deadline_is_forwarded_minus_what_has_elapsed() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;

    let request = Request::get("/v1/greetings/a")
        .header("x-server-timeout", "90.0")
        .header("grpc-timeout", "30S");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    let forwarded = reply.json()["metadata"]["grpc-timeout"]
        .as_str()
        .unwrap()
        .to_owned();
    let micros: u64 = forwarded
        .strip_suffix('u')
        .unwrap_or_else(|| panic!("{forwarded}"))
        .parse()
        .unwrap();
    assert!((10_000_000..30_000_000).contains(&micros), "{forwarded}");
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_504_and_cancels_the_call() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();

    let request = Request::get("/v1/greetings/hang").header("request-timeout", "0.05");
    let reply = gateway.send(request.body(Full::default()).unwrap()).await;
    reply.assert_error(504, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    happened(&mut events, "Greet dropped").await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_call() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();

    let (mut sender, connection) = gateway.connect::<Full<bytes::Bytes>>().await;
    let request = Request::get("/v1/greetings/hang")
        .body(Full::default())
        .unwrap();
    let waiting = tokio::spawn(sender.send_request(request));
    happened(&mut events, "Greet hangs").await;
    drop(connection);
    happened(&mut events, "Greet dropped").await;
    waiting.abort();
}
