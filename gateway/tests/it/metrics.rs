//! `/metrics`: requests and calls by route, method and protocol, never by what a caller made up.

use bytes::Bytes;
use http::Request;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Full};
use tonic_prost::ProstCodec;

use crate::support::messages::*;
use crate::support::stranger::Upstream;
use crate::support::{Gateway, eventually};

/// Waits until a line with all of these parts is among the metrics, and returns it.
async fn line(gateway: &Gateway, parts: &[&str]) -> String {
    eventually("a metric", async || {
        let text = gateway.get("/metrics").await.text();
        let found = text
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("{parts:?} in {text}"))
    })
    .await
}

#[tokio::test]
async fn requests_are_counted_by_route_and_calls_by_method_and_protocol() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    assert_eq!(gateway.get("/v1/greetings/nobody").await.status, 404);
    let mut grpc = tonic::client::Grpc::new(gateway.grpc().await);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<GreetRequest, GreetResponse>::default();
    let path = PathAndQuery::from_static("/stranger.v1.StrangerService/Greet");
    let request = GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    };
    grpc.unary(tonic::Request::new(request), path, codec)
        .await
        .unwrap();

    let upstream = format!("server_address=\"http://{}\"", upstream.address);
    let attempts = "upstream_attempt_duration_seconds_count";
    line(&gateway, &[attempts, &upstream, "\"NOT_FOUND\"} 1"]).await;
    line(&gateway, &["upstream_breaker_state", &upstream, "} 0"]).await;

    let route = "http_route=\"/v1/greetings/{name}\"";
    line(
        &gateway,
        &[
            "http_server_request_duration_seconds_count",
            route,
            "\"200\"} 1",
        ],
    )
    .await;
    line(
        &gateway,
        &[
            "http_server_request_duration_seconds_count",
            route,
            "\"404\"} 1",
        ],
    )
    .await;
    let method = "rpc_method=\"stranger.v1.StrangerService/Greet\"";
    for (protocol, code) in [("rest", "OK"), ("rest", "NOT_FOUND"), ("grpc", "OK")] {
        let protocol = format!("protocol=\"{protocol}\"");
        let code = format!("\"{code}\"}} 1");
        line(
            &gateway,
            &[
                "rpc_server_call_duration_seconds_count",
                method,
                &protocol,
                &code,
            ],
        )
        .await;
    }
    line(
        &gateway,
        &["rpc_server_response_messages_total", method, "\"grpc\"} 1"],
    )
    .await;
    line(&gateway, &["schema_swaps_total{outcome=\"accepted\"} 1"]).await;
    line(&gateway, &["process_resident_memory_bytes "]).await;
}

#[tokio::test]
async fn what_a_caller_makes_up_is_no_label() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let made_up = Request::builder().method("BREW").uri("/v1/made-up-path");
    gateway
        .send(made_up.body(Full::<Bytes>::default()).unwrap())
        .await;
    gateway.get("/v1/made-up-path").await;
    gateway.post("/made.up/Path", "application/grpc", "").await;
    gateway
        .post(
            "/stranger.v1.StrangerService/MadeUp",
            "application/grpc",
            "",
        )
        .await;
    line(
        &gateway,
        &[
            "http_request_method=\"_OTHER\"",
            "http_route=\"\"",
            "\"404\"",
        ],
    )
    .await;
    line(
        &gateway,
        &["rpc_method=\"_OTHER\"", "protocol=\"grpc\"", "_count"],
    )
    .await;
    let text = gateway.get("/metrics").await.text();
    for made_up in ["made-up", "made.up", "MadeUp", "BREW"] {
        assert!(!text.contains(made_up), "{made_up} in {text}");
    }
}

#[tokio::test]
async fn streams_are_in_flight_until_their_end_and_their_messages_are_counted() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let held = Request::get("/v1/counts/9?hold_at=3").body(Full::<Bytes>::default());
    let (mut response, connection) = gateway.open(held.unwrap()).await;
    let method = "rpc_method=\"stranger.v1.StrangerService/Count\"";
    response.body_mut().frame().await.unwrap().unwrap();
    line(&gateway, &["rpc_server_active_calls", method, "} 1"]).await;
    line(
        &gateway,
        &["rpc_server_response_messages_total", method, "} 3"],
    )
    .await;
    drop((response, connection));
    line(&gateway, &["rpc_server_active_calls", method, "} 0"]).await;
    line(
        &gateway,
        &["call_duration_seconds_count", method, "\"CANCELLED\"} 1"],
    )
    .await;
    let bytes = line(&gateway, &["rpc_server_response_bytes_total", method]).await;
    let bytes: u64 = bytes.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(bytes >= 3 * "{\"number\":1}\n".len() as u64, "{bytes}");
}

#[tokio::test]
async fn scrapers_may_have_openmetrics() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let plain = gateway.get("/metrics").await;
    assert_eq!(
        plain.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text");
    let open = gateway.send(request.body(Full::default()).unwrap()).await;
    assert!(
        open.header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(open.text().ends_with("# EOF\n"), "{open:?}");
}

#[tokio::test]
async fn metrics_can_be_switched_off() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[("metrics", "false")]).await;
    gateway.wait_until_ready().await;
    let reply = gateway.get("/metrics").await;
    reply.assert_error(404, tonic::Code::NotFound, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn a_failure_before_the_upstream_answers_has_its_code_in_every_protocol() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    drop(upstream);
    let path = "/stranger.v1.StrangerService/Greet";
    gateway.post(path, "application/proto", "").await;
    gateway.post(path, "application/grpc-web", vec![0; 5]).await;
    let calls = "rpc_server_call_duration_seconds_count";
    for protocol in ["\"connect\"", "\"grpc_web\""] {
        line(&gateway, &[calls, protocol, "\"UNAVAILABLE\""]).await;
    }
}
