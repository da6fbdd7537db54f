//! The access log of a gateway that runs as a process of its own: one line per request, when its
//! answer has ended.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::support::process::GatewayProcess;
use crate::support::stranger::{Upstream, personal_names};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("user-agent", "tests/1");
    let request = request.header("traceparent", TRACEPARENT);
    request.body(Full::default()).unwrap()
}

/// Whether a line of the log is the one about this path.
fn about(path: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["target"] == "access" && line["path"] == path
}

#[tokio::test]
async fn a_request_is_told_in_one_line() {
    let upstream = Upstream::start().await;
    let gateway = GatewayProcess::start(&upstream, &[("ACCESS_LOG__REQUESTS", "all")]).await;
    gateway.send(get("/v1/greetings/a?times=2")).await;
    let line = gateway.line("the request", about("/v1/greetings/a")).await;
    for (field, expected) in [
        ("method", "GET"),
        ("route", "/v1/greetings/{name}"),
        ("rpc_method", "stranger.v1.StrangerService/Greet"),
        ("protocol", "rest"),
        ("code", "OK"),
        ("user_agent", "tests/1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("end", "complete"),
        ("upstream", &*format!("http://{}", upstream.address)),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert!(
        line["client"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{line}"
    );
    assert!(line["response_bytes"].as_u64().unwrap() > 0, "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
}

#[tokio::test]
async fn a_path_with_a_confidential_value_is_told_as_its_template() {
    let upstream = personal_names().await;
    let gateway = GatewayProcess::start(&upstream, &[("ACCESS_LOG__REQUESTS", "all")]).await;
    gateway.send(get("/v1/greetings/zoe?name=zoe")).await;
    gateway
        .line("the request", about("/v1/greetings/{name}"))
        .await;
    let lines = gateway.lines();
    assert!(
        lines.iter().all(|line| !line.to_string().contains("ada")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_stream_is_told_at_its_end_with_the_reason() {
    let upstream = Upstream::start().await;
    let mut gateway = GatewayProcess::start(&upstream, &[("ACCESS_LOG__REQUESTS", "all")]).await;
    let (mut response, connection) = gateway.open(get("/v1/counts/9?hold_at=1")).await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop((response, connection));
    let line = gateway
        .line("the client's end", about("/v1/counts/9"))
        .await;
    assert_eq!(
        (&line["end"], &line["code"]),
        (&"client_gone".into(), &"CANCELLED".into())
    );

    gateway.send(get("/v1/counts/8?fail_at=2")).await;
    let line = gateway
        .line("the upstream's failure", about("/v1/counts/8"))
        .await;
    assert_eq!(line["end"], "upstream_failed", "{line}");
    assert_ne!(line["code"], "OK", "{line}");

    let (mut response, _connection) = gateway.open(get("/v1/counts/7?hold_at=1")).await;
    response.body_mut().frame().await.unwrap().unwrap();
    gateway.terminate();
    let _ = response.into_body().collect().await;
    let line = gateway.line("the drain", about("/v1/counts/7")).await;
    assert_eq!(
        (&line["end"], &line["code"]),
        (&"drain".into(), &"UNAVAILABLE".into())
    );
}

#[tokio::test]
async fn errors_alone_can_be_told() {
    let upstream = Upstream::start().await;
    let gateway = GatewayProcess::start(&upstream, &[("ACCESS_LOG__REQUESTS", "errors")]).await;
    gateway.send(get("/v1/greetings/a")).await;
    gateway.send(get("/v1/nothing")).await;
    let line = gateway.line("the error", about("/v1/nothing")).await;
    assert_eq!(
        (line["status"].as_u64(), line.get("route")),
        (Some(404), None),
        "{line}"
    );
    let lines = gateway.lines();
    assert!(!lines.iter().any(about("/v1/greetings/a")), "{lines:?}");
}

#[tokio::test]
async fn what_is_sampled_out_is_not_told_and_errors_are() {
    let upstream = Upstream::start().await;
    let keys = [("ACCESS_LOG__REQUESTS", "all"), ("ACCESS_LOG__SAMPLE", "0")];
    let gateway = GatewayProcess::start(&upstream, &keys).await;
    gateway.send(get("/v1/greetings/a")).await;
    gateway.send(get("/v1/greetings/nobody")).await;
    let line = gateway
        .line("the error", about("/v1/greetings/nobody"))
        .await;
    assert_eq!(line["code"], "NOT_FOUND", "{line}");
    let lines = gateway.lines();
    assert!(!lines.iter().any(about("/v1/greetings/a")), "{lines:?}");
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_the_one_that_is_told() {
    let upstream = Upstream::start().await;
    let keys = [
        ("ACCESS_LOG__REQUESTS", "all"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let gateway = GatewayProcess::start(&upstream, &keys).await;
    let mut request = get("/v1/greetings/a");
    let client = http::HeaderValue::from_static("198.51.100.7");
    request.headers_mut().insert("x-forwarded-for", client);
    gateway.send(request).await;
    let line = gateway.line("the request", about("/v1/greetings/a")).await;
    assert_eq!(line["client"], "198.51.100.7", "{line}");
}
