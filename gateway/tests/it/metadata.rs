//! Metadata both ways: headers, binary values, trailers, the HTTP status, and what errors tell.

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tonic::Code;

use crate::support::Gateway;
use crate::support::stranger::Upstream;

#[tokio::test]
async fn metadata_of_the_upstream_become_headers() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/greetings/a")
        .header("grpc-metadata-echo-x-shard", "7")
        .header("grpc-metadata-echo-x-token-bin", "AAE=,/w")
        .header("grpc-metadata-echo-access-control-allow-origin", "*")
        .header("grpc-metadata-echo-trailer-x-sum", "1");
    let reply = gateway.ask(request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["text"], "hello a");
    assert_eq!(reply.header("x-shard"), "7");
    let tokens: Vec<_> = reply.headers.get_all("x-token-bin").iter().collect();
    assert_eq!(tokens, ["AAE", "/w"]);
    for name in ["access-control-allow-origin", "x-sum", "grpc-status"] {
        assert_eq!(reply.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn the_configuration_says_what_passes() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(
        &[upstream.address],
        &[
            ("metadata.request", "x-tenant-*"),
            ("metadata.request_prefix", ""),
            ("metadata.response_deny", "x-secret-*"),
            ("metadata.forward_origin", "true"),
        ],
    )
    .await;
    let request = Request::get("/v1/greetings/a?times=1")
        .header("x-tenant-id", "t")
        .header("authorization", "Bearer x")
        .header("grpc-metadata-x-other", "o")
        .header("x-original-path", "/forged");
    let metadata = &gateway.ask(request).await.json()["metadata"];
    assert_eq!(metadata["x-tenant-id"], "t");
    assert_eq!(metadata["authorization"], json!(null));
    assert_eq!(metadata["x-other"], json!(null));
    assert_eq!(metadata["x-original-method"], "GET");
    assert_eq!(metadata["x-original-path"], "/v1/greetings/a?times=1");
    assert_eq!(metadata["x-original-template"], "/v1/greetings/{name}");

    let gateway = Gateway::ready_with(
        &[upstream.address],
        &[("metadata.response_deny", "x-secret-*")],
    )
    .await;
    let request = Request::get("/v1/greetings/a")
        .header("grpc-metadata-echo-x-secret-key", "1")
        .header("grpc-metadata-echo-x-open", "1");
    let reply = gateway.ask(request).await;
    assert_eq!(
        (reply.header("x-secret-key"), reply.header("x-open")),
        ("", "1")
    );
}

#[tokio::test]
async fn a_value_that_metadata_cannot_have_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (name, value) in [
        ("grpc-metadata-x-bin", &b"not base64!"[..]),
        ("x-request-id", b"\xc3\xbc"),
    ] {
        let reply = gateway
            .ask(Request::get("/v1/greetings/a").header(name, value))
            .await;
        reply.assert_error(400, Code::InvalidArgument, "BAD_HEADER");
        assert!(reply.text().contains(name), "{reply:?}");
    }
}

#[tokio::test]
async fn trailers_reach_a_caller_who_takes_them() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(
        &[upstream.address],
        &[("metadata.stream_trailers", "x-sum")],
    )
    .await;
    let request = |path: &str| {
        Request::get(path)
            .header("te", "trailers")
            .header("grpc-metadata-echo-trailer-x-sum", "1")
            .body(Full::<bytes::Bytes>::default())
            .unwrap()
    };
    for path in ["/v1/greetings/a", "/v1/counts/3"] {
        let (response, _connection) = gateway.open(request(path)).await;
        assert_eq!(response.headers()["trailer"], "x-sum", "{path}");
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "1", "{path}");
        assert!(!body.to_bytes().is_empty());

        let (response, _connection) = gateway.open_http2(request(path)).await;
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap();
        assert_eq!(trailers["x-sum"], "1", "{path}");
        assert!(!trailers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn the_dialect_of_grpc_gateway_names_metadata_its_way() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", "grpc-gateway")]).await;
    let request = Request::get("/v1/greetings/a")
        .header("te", "trailers")
        .header("grpc-metadata-echo-x-shard", "7")
        .header("grpc-metadata-echo-cache-control", "max-age=60")
        .header("grpc-metadata-echo-trailer-x-sum", "1");
    let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
    let (response, _connection) = gateway.open(request).await;
    assert_eq!(response.headers()["grpc-metadata-x-shard"], "7");
    assert_eq!(response.headers()["cache-control"], "max-age=60");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-trailer-x-sum"], "1");
}

#[tokio::test]
async fn the_upstream_chooses_the_http_status() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let ask = async |path: &str, code: &str| {
        let request = Request::get(path)
            .header("grpc-metadata-echo-x-http-code", code)
            .header("grpc-metadata-echo-location", "/v1/greetings/b");
        gateway.ask(request).await
    };
    for (code, status, has_content) in [
        ("201", 201, true),
        ("303", 303, true),
        ("204", 204, false),
        ("205", 205, false),
        ("304", 304, false),
        ("100", 200, true),
        ("999", 200, true),
    ] {
        let reply = ask("/v1/greetings/a", code).await;
        assert_eq!(reply.status, status, "{code}");
        assert_eq!(reply.header("location"), "/v1/greetings/b");
        assert_eq!(!reply.body.is_empty(), has_content, "{code}");
        assert_eq!(reply.header("x-http-code"), "");
    }
    assert_eq!(ask("/v1/counts/3", "203").await.status, 203);
    let error = ask("/v1/greetings/nobody", "410").await;
    assert_eq!(
        (error.status.as_u16(), &error.json()["code"]),
        (410, &json!(5))
    );

    let request =
        Request::get("/v1/greetings/a").header("grpc-metadata-echo-trailer-x-http-code", "202");
    assert_eq!(gateway.ask(request).await.status, 202);
}

#[tokio::test]
async fn an_error_carries_its_metadata_as_headers() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/greetings/code-16").header(
        "grpc-metadata-echo-www-authenticate",
        "Bearer realm=\"shop\"",
    );
    let reply = gateway.ask(request).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"shop\"");
    assert_eq!(reply.json()["message"], "as asked");
    assert_eq!(
        gateway.get("/v1/greetings/nobody").await.header("x-trail"),
        "kept"
    );
}

#[tokio::test]
async fn an_error_does_not_tell_of_insides_and_no_detail_spoils_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let reply = gateway.get("/v1/greetings/crashed").await;
    let unknown = json!({"@type": "type.googleapis.com/nobody.knows.Me", "value": "CAE="});
    // The details say 5; what the trailer says counts.
    let expected = json!({"code": 13, "message": "crashed", "details": [unknown]});
    assert_eq!((reply.status.as_u16(), reply.json()), (500, expected));

    let gateway = Gateway::ready_with(&[upstream.address], &[("errors.debug_info", "true")]).await;
    let details = gateway.get("/v1/greetings/crashed").await.json()["details"].clone();
    assert_eq!(details[0]["detail"], "insides", "{details}");
    assert_eq!(details[1], unknown);
}

#[tokio::test]
async fn every_401_says_how_to_authenticate() {
    let upstream = Upstream::start().await;
    for dialect in ["strict", "grpc-gateway", "envoy"] {
        let gateway = Gateway::ready_with(&[upstream.address], &[("dialect", dialect)]).await;
        let reply = gateway.get("/v1/greetings/code-16").await;
        let found = (reply.status.as_u16(), reply.header("www-authenticate"));
        assert_eq!(found, (401, "Bearer"), "{dialect}");
        let connect = "/stranger.v1.StrangerService/Greet";
        let body = r#"{"name":"code-16"}"#;
        let reply = gateway.post(connect, "application/json", body).await;
        let found = (reply.status.as_u16(), reply.header("www-authenticate"));
        assert_eq!(found, (401, "Bearer"), "{dialect}");
        let request = Request::get("/v1/greetings/code-16")
            .header("grpc-metadata-echo-www-authenticate", "Basic realm=\"a\"");
        let reply = gateway.ask(request).await;
        let found = reply.header("www-authenticate");
        assert_eq!(found, "Basic realm=\"a\"", "{dialect}");
        let request =
            Request::get("/v1/greetings/a").header("grpc-metadata-echo-x-http-code", "401");
        let reply = gateway.ask(request).await;
        let found = (reply.status.as_u16(), reply.header("www-authenticate"));
        assert_eq!(found, (401, "Bearer"), "{dialect}");
    }
}
