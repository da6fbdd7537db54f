//! What is counted, and how it is written.

use std::time::Duration;

use http::{Method, StatusCode};
use tonic::Code;

use super::*;

fn lines(metrics: &Metrics, format: Format, name: &str) -> Vec<String> {
    let text = metrics.encode(format).unwrap();
    let found = text.lines().filter(|line| line.contains(name));
    found.map(str::to_owned).collect()
}

#[test]
fn handles_of_one_name_count_together() {
    let metrics = Metrics::new("test");
    for method in ["/shop.v1.Shop/Get", "shop.v1.Shop/Get"] {
        let call = metrics.call(method, Protocol::rpc("connect"));
        call.ended(Code::NotFound, Duration::from_millis(2));
    }
    metrics
        .call("shop.v1.Shop/Get", Protocol::HTTP)
        .ended(Code::Ok, Duration::ZERO);
    let counts = lines(&metrics, Format::Prometheus, "call_duration_seconds_count");
    let with = |protocol: &str, code: &str, count: u32| {
        format!(
            "rpc_server_call_duration_seconds_count{{rpc_method=\"shop.v1.Shop/Get\",protocol=\"{protocol}\",\
             rpc_response_status_code=\"{code}\"}} {count}"
        )
    };
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(
        counts.contains(&with("connect", "NOT_FOUND", 2)),
        "{counts:?}"
    );
    assert!(counts.contains(&with("rest", "OK", 1)), "{counts:?}");
}

#[test]
fn routes_are_told_apart_by_method_and_status() {
    let metrics = Metrics::new("test");
    for (method, status) in [
        (Method::GET, StatusCode::OK),
        (Method::GET, StatusCode::OK),
        (Method::GET, StatusCode::NOT_FOUND),
        (Method::PUT, StatusCode::OK),
    ] {
        metrics
            .route(&method, "/v1/{a}")
            .ended(status, Duration::ZERO);
    }
    let counts = lines(
        &metrics,
        Format::Prometheus,
        "request_duration_seconds_count",
    );
    let ends: Vec<bool> = ["\"200\"} 2", "\"404\"} 1", "\"200\"} 1"]
        .iter()
        .map(|end| counts.iter().any(|line| line.ends_with(end)))
        .collect();
    assert_eq!((counts.len(), ends), (3, vec![true; 3]), "{counts:?}");
}

#[test]
fn upstreams_schema_and_configuration_are_counted() {
    let metrics = Metrics::new("test");
    let upstream = metrics.upstream("http://a:1");
    upstream.attempt(Code::Unavailable, Duration::ZERO);
    upstream.retry();
    upstream.ejected();
    upstream.breaker(Breaker::Open);
    metrics.schema_offered(true);
    metrics.schema_offered(false);
    metrics.config_reloaded(true);
    let text = metrics.encode(Format::Prometheus).unwrap();
    for line in [
        "upstream_attempt_duration_seconds_count{server_address=\"http://a:1\",rpc_response_status_code=\"UNAVAILABLE\"} 1",
        "upstream_retries_total{server_address=\"http://a:1\"} 1",
        "upstream_ejections_total{server_address=\"http://a:1\"} 1",
        "upstream_breaker_state{server_address=\"http://a:1\"} 1",
        "schema_swaps_total{outcome=\"accepted\"} 1",
        "schema_swaps_total{outcome=\"refused\"} 1",
        "config_reloads_total{outcome=\"accepted\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn scrapers_choose_their_format() {
    let metrics = Metrics::new("test");
    let open = Format::negotiate("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1");
    assert_eq!(open, Format::OpenMetrics);
    assert!(metrics.encode(open).unwrap().ends_with("# EOF\n"));
    let plain = Format::negotiate("text/plain");
    assert!(!metrics.encode(plain).unwrap().contains("# EOF"));
}

#[test]
fn the_process_is_measured() {
    let metrics = Metrics::new("test");
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        let found = lines(&metrics, Format::Prometheus, name);
        let value = found.last().and_then(|line| line.split(' ').nth(1));
        let value: f64 = value.unwrap().parse().unwrap();
        assert!(value > 0.0, "{found:?}");
    }
}
