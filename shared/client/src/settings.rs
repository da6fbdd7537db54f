//! Settings of an upstream: the keys under `[client]`, and addresses, TLS and versions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use admission::AdmissionSettings;
use rpc::config::ConfigError;
use serde::{Deserialize, Serialize};

use self::address::Address;

pub(crate) mod address;

/// The keys under `[client]`; `config.default.toml` documents them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSettings {
    /// Bound of one attempt to connect, in milliseconds.
    pub connect_timeout_ms: u64,
    /// HTTP/2 connections to one endpoint; the next is opened when the others are full. One has at
    /// most as many streams as its window has room for theirs.
    pub max_connections: usize,
    /// Calls of one upstream at once, open streams included.
    pub max_requests: usize,
    /// Calls in the queue for one of these.
    pub max_waiting: usize,
    /// Whether the limit of concurrent calls below `max_requests` finds itself.
    pub adaptive_limit: bool,
    /// That limit before anything is known.
    pub initial_limit: usize,
    /// Wait of a call at which its queue is overloaded, in milliseconds.
    pub max_wait_ms: u64,
    /// Time after which a call without an answer no longer counts, in milliseconds.
    pub max_hold_ms: u64,
    /// Limit of a unary call without a deadline, in milliseconds; 0 for none.
    pub unanswered_timeout_ms: u64,
    /// Bytes that one response may be ahead of its reader.
    pub stream_window_bytes: u32,
    /// Bytes that all responses of one connection may be ahead of their readers.
    pub connection_window_bytes: u32,
    /// Interval of pings while there are calls, in milliseconds.
    pub ping_interval_ms: u64,
    /// Limit of an unanswered ping, in milliseconds.
    pub ping_timeout_ms: u64,
    /// Interval of DNS resolution, in milliseconds.
    pub resolve_interval_ms: u64,
    /// Interval of health checks of an endpoint, in milliseconds; 0 for none.
    pub health_interval_ms: u64,
    /// Service that health checks ask for; empty for the whole server.
    pub health_service: String,
    /// Failures in a row that eject an endpoint; 0 for never.
    pub eject_after: u32,
    /// The first ejection, in milliseconds; each further one is longer.
    pub eject_ms: u64,
    /// Endpoints that may be ejected at once, in percent.
    pub eject_percent_max: u32,
    /// Failures in a row, of any endpoint, that open the circuit; 0 for never.
    pub break_after: u32,
    /// Pause before a call probes an open circuit, in milliseconds.
    pub break_ms: u64,
    /// Delay after which a call without side effects is hedged, in milliseconds; 0 for never.
    pub hedge_after_ms: u64,
    /// Whether calls carry the identity of their caller, if the process signs them.
    pub identity: bool,
    /// TLS of https endpoints that have no settings of their own.
    pub tls: TlsFiles,
}

/// The keys under `[client.tls]`; an empty path is no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// Trust anchors, in place of those of the system.
    pub ca: PathBuf,
    /// The certificate chain that this process presents, the own one first.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
}

/// One upstream: its endpoints and how to reach them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Name in logs and errors.
    pub name: String,
    /// `http://host:port` or `https://host:port` of each endpoint; a DNS name stands for all of its
    /// addresses.
    pub endpoints: Vec<String>,
    /// TLS of https endpoints.
    pub tls: TlsSettings,
    /// Limits and intervals.
    pub client: ClientSettings,
    /// Other versions of the same services, which get a share of the calls.
    pub versions: Vec<VersionSettings>,
    /// Endpoints that get copies of calls.
    pub mirror: Option<MirrorSettings>,
}

/// Trust and identity for https endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file of trusted authorities; the system's without it.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain, for mutual TLS.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Name in the server's certificate, in place of the endpoint's host.
    pub server_name: Option<String>,
}

impl TlsSettings {
    /// Returns whether the settings name files, whose content may change while the settings don't.
    pub fn reads_files(&self) -> bool {
        let files = [&self.ca, &self.certificate, &self.key];
        files.into_iter().any(Option::is_some)
    }
}

/// A version of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSettings {
    /// Name in logs.
    pub name: String,
    /// See [`UpstreamSettings::endpoints`].
    pub endpoints: Vec<String>,
    /// Share of the calls that no version's headers match, in percent.
    pub percent: u32,
    /// Calls that have all of these headers go to this version.
    pub headers: BTreeMap<String, String>,
}

/// Where copies of calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSettings {
    /// See [`UpstreamSettings::endpoints`].
    pub endpoints: Vec<String>,
    /// Share of the calls that are copied, in percent.
    pub percent: u32,
    /// Copies in flight; further ones are dropped.
    pub max_requests: usize,
}

// === impl ClientSettings ===

impl ClientSettings {
    /// Returns these settings with the keys of `table` in place of their own.
    ///
    /// # Errors
    /// An unknown key under `prefix`, or one with an invalid value.
    pub fn with(&self, table: &toml::Table, prefix: &str) -> Result<Self, ConfigError> {
        let refuse =
            |key: &str, problem: String| ConfigError::effective(format!("{prefix}.{key}"), problem);
        let mut merged =
            toml::Table::try_from(self).map_err(|error| refuse("*", error.to_string()))?;
        for (key, value) in table {
            let Some(known) = merged.get_mut(key) else {
                return Err(refuse(key, "unknown key".to_owned()));
            };
            let before = std::mem::replace(known, value.clone());
            // One at a time, so that the error can name its key.
            if let Err(error) = Self::deserialize(merged.clone()) {
                return Err(refuse(
                    key,
                    format!("{error}, where {before} is the default"),
                ));
            }
        }
        Self::deserialize(merged).map_err(|error| refuse("*", error.to_string()))
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// The first invalid key, under `prefix`.
    pub fn validate(&self, prefix: &str) -> Result<(), ConfigError> {
        let most = u64::from(u32::MAX);
        for (key, value, range) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 1..=most),
            ("max_connections", self.max_connections as u64, 1..=1000),
            ("max_requests", self.max_requests as u64, 1..=10_000_000),
            ("max_waiting", self.max_waiting as u64, 0..=10_000_000),
            ("initial_limit", self.initial_limit as u64, 1..=10_000_000),
            ("max_wait_ms", self.max_wait_ms, 1..=60_000),
            ("max_hold_ms", self.max_hold_ms, 100..=most),
            (
                "unanswered_timeout_ms",
                self.unanswered_timeout_ms,
                0..=most,
            ),
            (
                "stream_window_bytes",
                self.stream_window_bytes.into(),
                WINDOW,
            ),
            (
                "connection_window_bytes",
                self.connection_window_bytes.into(),
                WINDOW,
            ),
            ("ping_interval_ms", self.ping_interval_ms, 1..=most),
            ("ping_timeout_ms", self.ping_timeout_ms, 1..=most),
            ("resolve_interval_ms", self.resolve_interval_ms, 1..=most),
            ("health_interval_ms", self.health_interval_ms, 0..=most),
            ("eject_ms", self.eject_ms, 1..=most),
            ("eject_percent_max", self.eject_percent_max.into(), 0..=100),
            ("break_ms", self.break_ms, 1..=most),
            ("hedge_after_ms", self.hedge_after_ms, 0..=most),
        ] {
            if !range.contains(&value) {
                let (low, high) = range.into_inner();
                let problem = format!("expected {low} to {high}, got {value}");
                return Err(ConfigError::effective(format!("{prefix}.{key}"), problem));
            }
        }
        Ok(())
    }

    pub(crate) fn admission(&self) -> AdmissionSettings {
        let defaults = AdmissionSettings::default();
        AdmissionSettings {
            enabled: self.adaptive_limit,
            min_limit: defaults.min_limit.min(self.max_requests),
            initial_limit: self.initial_limit.min(self.max_requests),
            max_limit: self.max_requests,
            max_queue: self.max_waiting,
            max_wait_ms: self.max_wait_ms,
            max_hold_ms: self.max_hold_ms,
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Streams of one connection whose responses can all be unread without filling its window.
    pub(crate) fn streams_max(&self) -> usize {
        (self.connection_window_bytes / self.stream_window_bytes).max(1) as usize
    }

    pub(crate) fn unanswered_timeout(&self) -> Option<Duration> {
        let millis = self.unanswered_timeout_ms;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        (self.hedge_after_ms > 0).then(|| Duration::from_millis(self.hedge_after_ms))
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 2000,
            max_connections: 160,
            max_requests: 20_000,
            max_waiting: 1000,
            adaptive_limit: false,
            initial_limit: 32,
            max_wait_ms: 100,
            max_hold_ms: 10_000,
            unanswered_timeout_ms: 300_000,
            stream_window_bytes: 512 * 1024,
            connection_window_bytes: 64 * 1024 * 1024,
            ping_interval_ms: 310_000,
            ping_timeout_ms: 10_000,
            resolve_interval_ms: 10_000,
            health_interval_ms: 5000,
            health_service: String::new(),
            eject_after: 5,
            eject_ms: 5000,
            eject_percent_max: 50,
            break_after: 20,
            break_ms: 500,
            hedge_after_ms: 0,
            identity: true,
            tls: TlsFiles::default(),
        }
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn settings(&self) -> TlsSettings {
        let named = |file: &PathBuf| Some(file.clone()).filter(|file| !file.as_os_str().is_empty());
        TlsSettings {
            ca: named(&self.ca),
            certificate: named(&self.certificate),
            key: named(&self.key),
            server_name: None,
        }
    }
}

// === impl UpstreamSettings ===

impl UpstreamSettings {
    /// Returns the TLS of its endpoints: its own settings, else those of all clients, with the key
    /// that holds them.
    pub(crate) fn tls(&self, key: &str) -> (TlsSettings, String) {
        match self.tls == TlsSettings::default() {
            true => (self.client.tls.settings(), "client.tls".to_owned()),
            false => (self.tls.clone(), format!("{key}.tls")),
        }
    }

    /// Returns the settings of an upstream with one endpoint, which is also its name.
    pub fn at(url: &str, client: &ClientSettings) -> Self {
        Self {
            name: url.to_owned(),
            endpoints: vec![url.to_owned()],
            client: client.clone(),
            ..Self::default()
        }
    }

    /// Checks everything but the content of files; `prefix` is the key that holds these settings.
    ///
    /// # Errors
    /// The first invalid key.
    pub fn validate(&self, prefix: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: String| {
            Err(ConfigError::effective(format!("{prefix}{key}"), problem))
        };
        check_endpoints(&self.endpoints, &format!("{prefix}.endpoints"))?;
        self.client.validate(&format!("{prefix}.client"))?;
        let (tls, key) = self.tls(prefix);
        if tls.certificate.is_some() != tls.key.is_some() {
            let problem = "`certificate` and `key` belong together";
            return Err(ConfigError::effective(key, problem));
        }
        let mut total = 0;
        for version in &self.versions {
            let key = format!(".version.{}", version.name);
            check_endpoints(&version.endpoints, &format!("{prefix}{key}.endpoints"))?;
            if version.percent == 0 && version.headers.is_empty() {
                let problem =
                    "expected a `percent` above 0 or `headers`: no call would be routed to it";
                return refuse(&key, problem.to_owned());
            }
            for (name, value) in &version.headers {
                let (name_fits, value_fits) = (
                    name.parse::<http::HeaderName>().is_ok(),
                    value.parse::<http::HeaderValue>().is_ok(),
                );
                if !name_fits || !value_fits {
                    return refuse(&key, format!("`{name}` in `headers` is not a valid header"));
                }
            }
            total += version.percent;
        }
        if total > 100 {
            return refuse(
                ".version",
                format!("the `percent` values add up to {total}"),
            );
        }
        if let Some(mirror) = &self.mirror {
            check_endpoints(&mirror.endpoints, &format!("{prefix}.mirror.endpoints"))?;
            if !(1..=100).contains(&mirror.percent) {
                let problem = format!("expected 1 to 100, got {}", mirror.percent);
                return refuse(".mirror.percent", problem);
            }
        }
        Ok(())
    }
}

/// The initial window of HTTP/2 and the largest (RFC 9113 §6.9.1).
const WINDOW: std::ops::RangeInclusive<u64> = 65_535..=0x7fff_ffff;

fn check_endpoints(urls: &[String], key: &str) -> Result<(), ConfigError> {
    let refuse = |problem: String| Err(ConfigError::effective(key, problem));
    if urls.is_empty() {
        return refuse("expected at least one".to_owned());
    }
    for (index, url) in urls.iter().enumerate() {
        if let Err(problem) = Address::parse(url) {
            return refuse(format!("`{url}` {problem}"));
        }
        if urls[..index].contains(url) {
            return refuse(format!("`{url}` is named twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_overrides_single_keys() {
        let base = ClientSettings {
            max_requests: 7,
            ..ClientSettings::default()
        };
        let table: toml::Table = toml::from_str("hedge_after_ms = 30").unwrap();
        let merged = base.with(&table, "upstream.a.client").unwrap();
        assert_eq!((merged.max_requests, merged.hedge_after_ms), (7, 30));
        for (text, expected) in [
            ("hedge = 1", "`upstream.a.client.hedge`: unknown key"),
            ("break_ms = \"x\"", "`upstream.a.client.break_ms`"),
        ] {
            let table: toml::Table = toml::from_str(text).unwrap();
            let error = base
                .with(&table, "upstream.a.client")
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let at = |url: &str| UpstreamSettings::at(url, &ClientSettings::default());
        at("https://a.example:1").validate("u").unwrap();
        let version = |percent, header: &str| VersionSettings {
            name: "canary".to_owned(),
            endpoints: vec!["http://b:1".to_owned()],
            percent,
            headers: BTreeMap::from_iter(
                (!header.is_empty()).then(|| (header.to_owned(), "1".to_owned())),
            ),
        };
        let with = |change: fn(&mut UpstreamSettings), versions: Vec<VersionSettings>| {
            let mut settings = at("http://a:1");
            settings.versions = versions;
            change(&mut settings);
            settings
        };
        for (settings, key) in [
            (at("ftp://a:1"), "`u.endpoints`"),
            (with(|s| s.endpoints.clear(), vec![]), "`u.endpoints`"),
            (
                with(|s| s.endpoints.push("http://a:1".to_owned()), vec![]),
                "twice",
            ),
            (
                with(|s| s.client.max_connections = 0, vec![]),
                "`u.client.max_connections`",
            ),
            (with(|s| s.tls.key = Some("k".into()), vec![]), "`u.tls`"),
            (with(|_| (), vec![version(0, "")]), "`u.version.canary`"),
            (with(|_| (), vec![version(0, "a b")]), "`u.version.canary`"),
            (
                with(|_| (), vec![version(60, ""), version(60, "")]),
                "`u.version`",
            ),
        ] {
            let error = settings.validate("u").unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
