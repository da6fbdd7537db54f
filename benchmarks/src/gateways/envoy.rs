//! Configuration of Envoy: one listener with the transcoder, and nothing else that costs time.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

const PACKAGE: &str = "type.googleapis.com/envoy.extensions";

/// Returns the configuration as JSON, which Envoy reads as YAML.
pub(super) fn config(listen: SocketAddr, upstream: SocketAddr, descriptors: &Path) -> Value {
    let transcoder = json!({
        "name": "envoy.filters.http.grpc_json_transcoder",
        "typed_config": {
            "@type": format!("{PACKAGE}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"),
            "proto_descriptor": descriptors,
            "services": ["bench.v1.BenchService"],
            // By default Envoy resets a stream whose reader is a megabyte behind.
            "max_response_body_size": u32::MAX,
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
        "http_filters": [transcoder, router],
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            // The default of 15 s would end long streams.
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
        }]},
    });
    let filter = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    });
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    json!({"static_resources": {
        "listeners": [{
            "address": address(listen),
            "filter_chains": [{"filters": [filter]}],
        }],
        "clusters": [{
            "name": "upstream",
            "type": "STATIC",
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

fn address(socket: SocketAddr) -> Value {
    json!({"socket_address": {"address": socket.ip(), "port_value": socket.port()}})
}
