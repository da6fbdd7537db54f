//! Configuration of Envoy with its adaptive concurrency filter, at the values of its documentation
//! but for a shorter interval between measurements of the minimum.

use std::net::SocketAddr;

use serde_json::{Value, json};

const PACKAGE: &str = "type.googleapis.com/envoy.extensions";

pub(super) fn config(listen: SocketAddr, upstream: SocketAddr) -> Value {
    let limiter = json!({
        "name": "envoy.filters.http.adaptive_concurrency",
        "typed_config": {
            "@type": format!("{PACKAGE}.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency"),
            "gradient_controller_config": {
                "sample_aggregate_percentile": {"value": 90},
                "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
                "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "10s", "request_count": 50},
            },
            "enabled": {"default_value": true, "runtime_key": "adaptive_concurrency.enabled"},
        },
    });
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{PACKAGE}.filters.http.router.v3.Router")},
    });
    let manager = json!({
        "@type": format!("{PACKAGE}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "codec_type": "AUTO",
        "http_filters": [limiter, router],
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {
                "cluster": "upstream", "timeout": "0s", "max_stream_duration": {"grpc_timeout_header_max": "0s"},
            }}],
        }]},
    });
    let http2 = json!({
        "@type": format!("{PACKAGE}.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    let address = |socket: SocketAddr| json!({"socket_address": {"address": socket.ip(), "port_value": socket.port()}});
    json!({"static_resources": {
        "listeners": [{
            "address": address(listen),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }]}],
        }],
        "clusters": [{
            "name": "upstream",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": [{
                "max_requests": 100_000, "max_pending_requests": 100_000, "max_connections": 100_000,
            }]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
            },
            "load_assignment": {
                "cluster_name": "upstream",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
            },
        }],
    }})
}
