//! The gateway's own configuration keys and the check that a process may start with them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use auth::AuthenticationSettings;
use chassis::client::{ClientSettings, UpstreamSettings};
use chassis::config::ConfigError;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use learning::{Pace, Source};
use rpc::headers::PROCESS;
use serde::Deserialize;

use crate::api::{
    ApiOptions, Dialect, EmitDefaults, SchemaSettings, TrailingSlash, UnknownFields, UpstreamTable,
    source,
};
use crate::failure::ErrorSettings;
use crate::policy::{
    AuthorizationSettings, CacheSettings, CodeRules, CompressionSettings, ConditionalSettings,
    CorsSettings, DeadlineSettings, IdempotencySettings, MetadataSettings,
    client_address::TrustedProxies, validate_statuses,
};
use crate::protocols::WebSocketSettings;
use crate::settings::{key_error, reject_key};
use crate::surface::OpenApiSettings;

/// Below 1 KiB the overhead of frames dominates; above 1 MiB upstreams may reject the message.
const UPLOAD_CHUNK_BYTES: RangeInclusive<usize> = 1024..=1024 * 1024;

const NO_UPSTREAM: &str = "expected at least one gRPC server: `--upstream http://host:port` (may be repeated), \
    `PROTOMESH_UPSTREAMS=http://host:port,...`, or `upstreams = [...]` or a table `[upstream.NAME]` in the file of `--config`";

/// The gateway's own keys; `config.default.toml` documents each.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// gRPC servers to front, `http://host:port` or `https://host:port`.
    #[serde(rename = "upstreams")]
    pub upstream_urls: Vec<String>,
    /// Upstreams with further settings, by name.
    #[serde(rename = "upstream")]
    pub upstream_tables: BTreeMap<String, UpstreamTable>,
    /// Operators' side of processes by name, `http://host:port` or `https://host:port`.
    pub processes: BTreeMap<String, String>,
    /// Addresses and networks of the proxies in front, whose word about the client counts.
    pub trusted_proxies: Vec<String>,
    /// Largest request body in JSON or protobuf, in bytes; of a stream, its largest message.
    pub max_body_bytes: usize,
    /// Bound of one round of reflection, in milliseconds.
    pub reflect_timeout_ms: u64,
    /// Pause between two rounds of reflection, in milliseconds.
    pub reflect_interval_ms: u64,
    /// Silence on a server-sent event stream before a comment is sent, in milliseconds.
    pub sse_keep_alive_ms: u64,
    /// Largest piece of a raw upload in one message, in bytes.
    pub upload_chunk_bytes: usize,
    /// The gateway whose behaviour the JSON API follows; the keys below override it.
    pub dialect: Dialect,
    /// How responses show fields that have their default value.
    pub emit_defaults: EmitDefaults,
    /// Whether responses carry the field names of the proto files.
    pub preserve_proto_field_names: bool,
    /// Whether responses carry enum values as numbers.
    pub enums_as_numbers: bool,
    /// How JSON keys without a field are handled.
    pub unknown_fields: UnknownFields,
    /// Whether requests must name fields as responses do.
    pub strict_names: bool,
    /// How a path with a superfluous trailing slash is handled.
    pub trailing_slash: TrailingSlash,
    /// `[metadata]`: headers to metadata and back.
    pub metadata: MetadataSettings,
    /// How long calls may take.
    pub deadline: DeadlineSettings,
    /// `[authentication]`: the credentials of callers.
    pub authentication: AuthenticationSettings,
    /// `[authorization]`: who may call what.
    pub authorization: AuthorizationSettings,
    /// `[audit]`: the trail of writes and denials.
    pub audit: audit::Settings,
    /// `[cors]`: pages of other origins.
    pub cors: CorsSettings,
    /// `[conditional]`: `ETag` and conditional requests.
    pub conditional: ConditionalSettings,
    /// `[cache]`: answers that are served again.
    pub cache: CacheSettings,
    /// `[idempotency]`: calls that are known by their keys.
    pub idempotency: IdempotencySettings,
    /// Content codings.
    pub compression: CompressionSettings,
    /// The details that errors expose.
    pub errors: ErrorSettings,
    /// `[openapi]`: the document of the API.
    pub openapi: OpenApiSettings,
    /// WebSocket connections.
    pub websocket: WebSocketSettings,
    /// Where the API of the upstreams is learned from, and what may become of it.
    pub schema: SchemaSettings,
    /// Limits of calls.
    pub limits: quota::Settings,
    /// The store that gateways share.
    pub valkey: valkey::Settings,
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the first key that does not fit.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Checks addresses and tables only.
        self.upstream_settings(&ClientSettings::default())?;
        self.process_settings(&ClientSettings::default())?;
        TrustedProxies::parse(&self.trusted_proxies)?;
        for (key, value) in [
            ("max_body_bytes", self.max_body_bytes as u64),
            ("reflect_timeout_ms", self.reflect_timeout_ms),
            ("reflect_interval_ms", self.reflect_interval_ms),
            ("sse_keep_alive_ms", self.sse_keep_alive_ms),
        ] {
            if value == 0 {
                return reject_key(key, "expected a number above 0, got 0");
            }
        }
        self.schema.validate()?;
        self.limits.check("limits")?;
        for (name, table) in &self.upstream_tables {
            validate_statuses(name, &table.http_status)?;
        }
        if !UPLOAD_CHUNK_BYTES.contains(&self.upload_chunk_bytes) {
            let (low, high) = UPLOAD_CHUNK_BYTES.into_inner();
            let problem = format!(
                "expected {low} to {high} bytes, got {}",
                self.upload_chunk_bytes
            );
            return reject_key("upload_chunk_bytes", &problem);
        }
        self.metadata.validate()?;
        self.authentication.validate()?;
        self.authorization.validate()?;
        self.audit.check()?;
        self.cors.validate()?;
        self.compression.validate()?;
        self.websocket.validate()
    }

    /// Returns the settings of all upstreams, in the order of the configuration. `client` is the
    /// section `[client]` of the process.
    ///
    /// # Errors
    /// Names the key that does not fit.
    pub(crate) fn upstream_settings(
        &self,
        client: &ClientSettings,
    ) -> Result<Vec<UpstreamSettings>, ConfigError> {
        if self.upstream_urls.is_empty() && self.upstream_tables.is_empty() {
            return Err(key_error("upstreams", NO_UPSTREAM));
        }
        let mut all: Vec<UpstreamSettings> = Vec::new();
        for url in &self.upstream_urls {
            let settings = UpstreamSettings::at(url, client);
            let problem = settings.validate("upstreams").err();
            if let Some(error) = problem {
                return Err(key_error("upstreams", &error.problem));
            }
            if all.iter().any(|other| other.name == *url) {
                return Err(key_error("upstreams", &format!("`{url}` is named twice")));
            }
            all.push(settings);
        }
        for (name, table) in &self.upstream_tables {
            all.push(table.settings(name, client)?);
        }
        Ok(all)
    }

    /// Returns the settings of the operators' side of all processes, whose keys are their names.
    ///
    /// # Errors
    /// Names the key that does not fit.
    pub(crate) fn process_settings(
        &self,
        client: &ClientSettings,
    ) -> Result<Vec<UpstreamSettings>, ConfigError> {
        let settings = self.processes.iter().map(|(name, url)| {
            let key = format!("processes.{name}");
            if HeaderValue::from_str(name).is_err() || name.contains('/') {
                return Err(key_error(&key, "the name cannot be one of a process"));
            }
            let settings = UpstreamSettings {
                name: key.clone(),
                ..UpstreamSettings::at(url, client)
            };
            match settings.validate(&key) {
                Ok(()) => Ok(settings),
                Err(error) => Err(key_error(&key, &error.problem)),
            }
        });
        settings.collect()
    }

    /// Returns the configuration for the operators' side of a process: JSON has one form, metadata
    /// are what that side asks for, and nothing is said about the client.
    pub(crate) fn for_process(&self) -> Self {
        let mut config = self.clone();
        config.processes.clear();
        config.dialect = Dialect::Strict;
        config.emit_defaults = EmitDefaults::Dialect;
        config.unknown_fields = UnknownFields::Dialect;
        config.trailing_slash = TrailingSlash::Dialect;
        config.preserve_proto_field_names = false;
        config.enums_as_numbers = false;
        let request = [AUTHORIZATION, PROCESS];
        config.metadata.request = request.map(|name| name.to_string()).to_vec();
        config.metadata.request_prefix.clear();
        config.metadata.forward_origin = false;
        config.cors.allowed_origins.clear();
        config.schema.policies.clear();
        config.limits.default.clear();
        config.authentication = config.authentication.off();
        config
    }

    /// Returns the options that the API is compiled with.
    pub(crate) fn transcoding(&self) -> transcoder::Options {
        let mut options = self.dialect.options();
        self.emit_defaults.apply(&mut options);
        self.unknown_fields.apply(&mut options);
        self.trailing_slash.apply(&mut options);
        options.json.preserve_proto_field_names = self.preserve_proto_field_names;
        options.json.enums_as_numbers = self.enums_as_numbers;
        options.json.strict_names = self.strict_names;
        options.json.show_debug_info = self.errors.debug_info;
        options.routes.rules = self.schema.rules();
        options.routes.invalid_bindings = transcoder::InvalidBindings::LeaveOut;
        options.validation.clock = Some(transcoder::Clock(std::time::SystemTime::now));
        options
    }

    /// Returns all that an API is compiled with.
    pub(crate) fn api(&self) -> ApiOptions {
        ApiOptions {
            transcoding: self.transcoding(),
            policies: self.schema.policies.clone(),
            limits: self.limits.default.clone(),
            authorizes: self.authentication.is_on(),
        }
    }

    /// Returns the HTTP statuses of codes by upstream.
    pub(crate) fn code_rules(&self) -> CodeRules {
        let tables = self.upstream_tables.iter();
        CodeRules::new(tables.map(|(name, table)| (name, &table.http_status)))
    }

    /// Returns the source of the schema of the upstream with this name.
    pub(crate) fn source(&self, upstream: &str) -> Source {
        let own = self
            .upstream_tables
            .get(upstream)
            .map(|table| &table.schema);
        let is_only_upstream = self.upstream_urls.len() + self.upstream_tables.len() == 1;
        source(&self.schema, own, is_only_upstream, self.pace())
    }

    /// Returns how often and how long servers are asked about their API.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            timeout: Duration::from_millis(self.reflect_timeout_ms),
            interval: Duration::from_millis(self.reflect_interval_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(upstreams: &[&str]) -> Config {
        let mut table: toml::Table = toml::from_str(crate::app::DEFAULTS).unwrap();
        let urls: Vec<String> = upstreams.iter().map(|url| (*url).to_owned()).collect();
        table.insert("upstreams".to_owned(), urls.into());
        table.try_into().unwrap()
    }

    #[track_caller]
    fn assert_refused(config: &Config, expected: &str) {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn every_key_has_a_usable_default() {
        config(&["http://a:1", "https://b:2"]).validate().unwrap();
    }

    #[test]
    fn one_client_cannot_hold_all_requests_of_an_upstream() {
        let sources = chassis::config::Sources::default();
        let layers = chassis::config::Layers::load(crate::app::DEFAULTS, &sources).unwrap();
        let settings = layers.settings().unwrap();
        let share = settings.listener.max_held_bytes / 2;
        assert!(share / admission::REQUEST_BYTES < settings.client.max_requests);
    }

    #[test]
    fn a_key_that_does_not_fit_is_named() {
        assert_refused(&config(&[]), "--upstream http://host:port");
        assert_refused(
            &config(&["http://a:1", "http://a:1"]),
            "`http://a:1` is named twice",
        );
        assert_refused(&config(&["ftp://a:1"]), "does not begin with http://");
        assert_refused(&config(&["http://a"]), "a host and a port");
        assert_refused(&config(&["http://a:1/x"]), "has a path");
        assert_refused(&config(&["a b"]), "`upstreams`");
        let chunk = Config {
            upload_chunk_bytes: 1,
            ..config(&["http://a:1"])
        };
        assert_refused(&chunk, "`upload_chunk_bytes`");
        let interval = Config {
            reflect_interval_ms: 0,
            ..config(&["http://a:1"])
        };
        assert_refused(&interval, "`reflect_interval_ms`");
    }

    #[test]
    fn what_does_not_fit_in_a_section_is_named_with_it() {
        let parse = |key: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let mut flags = std::collections::BTreeMap::from([(key.to_owned(), values)]);
            flags.insert("upstreams".to_owned(), vec!["http://a:1".to_owned()]);
            if key.starts_with("cors.") {
                let allow = vec!["true".to_owned()];
                flags.insert("cors.allow_credentials".to_owned(), allow);
            }
            let sources = chassis::config::Sources {
                flags,
                ..Default::default()
            };
            let layers = chassis::config::Layers::load(crate::app::DEFAULTS, &sources).unwrap();
            layers.parse::<Config>().unwrap()
        };
        for (key, values) in [
            ("cors.allowed_origins", &["https://a.example", "*"][..]),
            ("cors.allowed_origins", &["a.example"]),
            ("cors.allowed_methods", &["get"]),
            ("cors.allowed_headers", &["*"]),
            ("cors.exposed_headers", &["*"]),
            ("cors.exposed_headers", &["a b"]),
            ("metadata.request", &["grpc-timeout"]),
            ("metadata.request", &["X-Tenant"]),
            ("metadata.response", &["a b*"]),
            ("metadata.response_deny", &["content-type"]),
            ("metadata.stream_trailers", &["x-*"]),
            ("metadata.request_prefix", &["X-"]),
            ("compression.gzip_level", &["0"]),
            ("compression.br_level", &["12"]),
            ("compression.zstd_level", &["23"]),
            ("compression.max_ratio", &["0"]),
        ] {
            assert_refused(&parse(key, values), &format!("`{key}`"));
        }
        parse("cors.allowed_origins", &["https://a.example"])
            .validate()
            .unwrap();
    }

    #[test]
    fn a_choice_that_does_not_exist_is_named_with_its_key() {
        for key in [
            "dialect",
            "emit_defaults",
            "unknown_fields",
            "trailing_slash",
            "enums_as_numbers",
        ] {
            let flags = [(key.to_owned(), vec!["kong".to_owned()])];
            let sources = chassis::config::Sources {
                flags: flags.into(),
                ..Default::default()
            };
            let layers = chassis::config::Layers::load(crate::app::DEFAULTS, &sources).unwrap();
            let error = layers.parse::<Config>().unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.problem.contains("kong"), "{error}");
        }
    }

    #[test]
    fn keys_outdo_the_dialect() {
        let choose = |dialect, unknown_fields, trailing_slash| {
            let chosen = Config {
                dialect,
                unknown_fields,
                trailing_slash,
                ..config(&["http://a:1"])
            };
            let options = chosen.transcoding();
            assert!(options.validation.clock.is_some());
            (
                options.json.ignore_unknown_fields,
                options.routes.trailing_slash,
            )
        };
        use transcoder::TrailingSlash::{Ignore, Redirect, Strict};
        for (dialect, expected) in [
            (Dialect::Strict, (false, Strict)),
            (Dialect::Envoy, (true, Ignore)),
            (Dialect::GrpcGateway, (true, Strict)),
        ] {
            let followed = choose(dialect, UnknownFields::Dialect, TrailingSlash::Dialect);
            assert_eq!(followed, expected);
            let outdone = choose(dialect, UnknownFields::Refuse, TrailingSlash::Redirect);
            assert_eq!(outdone, (false, Redirect));
        }
    }
}
