//! Envoy: one listener with one filter before the router, and nothing else that costs time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// Room in its cache of verified tokens, which has 100 by default.
const TOKENS_MAX: u32 = 100_000;

/// A limit that no load reaches.
const CALLS_A_SECOND: u32 = 1_000_000;

/// A use of Envoy: its filters, and the settings around it.
pub(super) struct Setup {
    /// The filters before the router.
    filters: Vec<Value>,
    /// The action of the only route.
    route: Value,
    /// Bounds of the upstream in place of Envoy's own.
    circuit_breakers: Option<Value>,
}

// === impl Setup ===

impl Setup {
    /// Transcodes the order's service by these descriptors.
    pub(super) fn transcoder(descriptors: &Path) -> Self {
        let services = ["bench.v1.BenchService"];
        let settings = json!({
            "proto_descriptor": descriptors,
            "services": services,
            // By default Envoy resets a stream whose reader is a megabyte behind.
            "max_response_body_size": u32::MAX,
        });
        Self {
            filters: vec![filter(
                "grpc_json_transcoder",
                "GrpcJsonTranscoder",
                settings,
            )],
            // The default of 15 s would end long streams.
            route: json!({"cluster": "upstream", "timeout": "0s"}),
            circuit_breakers: None,
        }
    }

    /// Asks for a token of an issuer and a role in it first, and counts calls.
    pub(super) fn guarded(mut self, issuer: &str, audience: &str, keys: &str, role: &str) -> Self {
        let provider = json!({
            "issuer": issuer,
            "audiences": [audience],
            "local_jwks": {"inline_string": keys},
            "payload_in_metadata": "claims",
            "jwt_cache_config": {"jwt_cache_size": TOKENS_MAX},
        });
        let roles = json!({
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "claims"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": role}}}},
        });
        let policy = json!({"permissions": [{"any": true}], "principals": [{"metadata": roles}]});
        let always = json!({"default_value": {"numerator": 100}});
        let guards = [
            filter(
                "jwt_authn",
                "JwtAuthentication",
                json!({
                    "providers": {"bench": provider},
                    "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
                }),
            ),
            filter(
                "rbac",
                "RBAC",
                json!({"rules": {"action": "ALLOW", "policies": {"role": policy}}}),
            ),
            filter(
                "local_ratelimit",
                "LocalRateLimit",
                json!({
                    "stat_prefix": "bench",
                    "token_bucket": {
                        "max_tokens": CALLS_A_SECOND,
                        "tokens_per_fill": CALLS_A_SECOND,
                        "fill_interval": "1s",
                    },
                    "filter_enabled": always,
                    "filter_enforced": always,
                }),
            ),
        ];
        self.filters.splice(0..0, guards);
        self
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
            filters: vec![filter(
                "adaptive_concurrency",
                "AdaptiveConcurrency",
                settings,
            )],
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
        let mut filters = self.filters;
        filters.push(filter("router", "Router", json!({})));
        let manager = json!({
            "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "bench",
            "codec_type": "AUTO",
            "http_filters": filters,
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
