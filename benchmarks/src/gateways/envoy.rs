//! Envoy: one listener with one filter before the router, and nothing else that costs time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// A use of Envoy: its filter, and the settings around it.
pub(super) struct Setup {
    /// The filter before the router.
    filter: Value,
    /// The action of the only route.
    route: Value,
    /// Bounds of the upstream in place of Envoy's own.
    circuit_breakers: Option<Value>,
}

// === impl Setup ===

impl Setup {
    /// Transcodes by these descriptors.
    pub(super) fn transcoder(descriptors: &Path) -> Self {
        let settings = json!({
            "proto_descriptor": descriptors,
            "services": ["bench.v1.BenchService"],
            // By default Envoy resets a stream whose reader is a megabyte behind.
            "max_response_body_size": u32::MAX,
        });
        Self {
            filter: filter("grpc_json_transcoder", "GrpcJsonTranscoder", settings),
            // The default of 15 s would end long streams.
            route: json!({"cluster": "upstream", "timeout": "0s"}),
            circuit_breakers: None,
        }
    }

    /// Limits calls by the adaptive concurrency filter, at the values of its documentation but for
    /// a shorter interval between measurements of the minimum.
    pub(super) fn adaptive_concurrency() -> Self {
        let settings = json!({
            "gradient_controller_config": {
                "sample_aggregate_percentile": {"value": 90},
                "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
                "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "10s", "request_count": 50},
            },
            "enabled": {"default_value": true, "runtime_key": "adaptive_concurrency.enabled"},
        });
        Self {
            filter: filter("adaptive_concurrency", "AdaptiveConcurrency", settings),
            route: json!({
                "cluster": "upstream",
                "timeout": "0s",
                "max_stream_duration": {"grpc_timeout_header_max": "0s"},
            }),
            circuit_breakers: Some(json!({"thresholds": [{
                "max_requests": 100_000, "max_pending_requests": 100_000, "max_connections": 100_000,
            }]})),
        }
    }

    /// Returns the command that starts Envoy on one processor; its configuration is in `files`.
    pub(super) fn command(
        self,
        program: &Path,
        files: &Path,
        listen: SocketAddr,
        upstream: SocketAddr,
    ) -> Result<Command> {
        let config = files.join("envoy.json");
        std::fs::write(&config, self.config(listen, upstream).to_string())?;
        let mut command = Command::new(program);
        command.arg("--config-path").arg(config);
        command.args(["--disable-hot-restart", "--concurrency", "1"]);
        command.args(["--log-level", "error"]);
        Ok(command)
    }

    /// Returns the configuration as JSON, which Envoy reads as YAML.
    fn config(self, listen: SocketAddr, upstream: SocketAddr) -> Value {
        let manager = json!({
            "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "bench",
            "codec_type": "AUTO",
            "http_filters": [self.filter, filter("router", "Router", json!({}))],
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": self.route}],
            }]},
        });
        let filter = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        });
        let http2 = json!({
            "@type": format!("{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": {"http2_protocol_options": {}},
        });
        let mut cluster = json!({
            "name": "upstream",
            "type": "STATIC",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
            },
            "load_assignment": {
                "cluster_name": "upstream",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
            },
        });
        if let Some(bounds) = self.circuit_breakers {
            cluster["circuit_breakers"] = bounds;
        }
        let listener = json!({
            "address": address(listen),
            "filter_chains": [{"filters": [filter]}],
        });
        json!({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
    }
}

/// Returns a filter of HTTP with its settings.
fn filter(name: &str, kind: &str, mut settings: Value) -> Value {
    settings["@type"] = format!("{EXTENSIONS}.filters.http.{name}.v3.{kind}").into();
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": settings})
}

fn address(socket: SocketAddr) -> Value {
    json!({"socket_address": {"address": socket.ip(), "port_value": socket.port()}})
}
