//! An upstream: its keys under `[upstream.NAME]`, and the handle that requests reach it by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chassis::client::{
    ClientSettings, MirrorSettings, TlsSettings, Upstream, UpstreamSettings, VersionSettings,
};
use chassis::config::ConfigError;
use chassis::metrics::Metrics;
use serde::Deserialize;

use super::settings::SourceSettings;

/// One upstream; its name is that of the table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTable {
    /// `http://host:port` or `https://host:port` of each endpoint.
    pub endpoints: Vec<String>,
    /// How https endpoints are talked to.
    #[serde(default)]
    pub tls: TlsSettings,
    /// Keys of `[client]` that differ for this upstream.
    #[serde(default)]
    pub client: toml::Table,
    /// The sources of its schema.
    #[serde(default)]
    pub schema: SourceSettings,
    /// HTTP statuses of its errors in the JSON API, by gRPC code.
    #[serde(default)]
    pub http_status: BTreeMap<String, u16>,
    /// Other versions of the same services by name, which take a part of the calls.
    #[serde(default)]
    pub version: BTreeMap<String, VersionTable>,
    /// Where copies of calls go.
    #[serde(default)]
    pub mirror: Option<MirrorTable>,
}

/// A version of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionTable {
    /// As those of the upstream.
    pub endpoints: Vec<String>,
    /// Share of the calls that no version's headers match, in percent.
    #[serde(default)]
    pub percent: u32,
    /// Calls with all of these headers go to this version.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Where copies of calls go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorTable {
    /// As those of the upstream.
    pub endpoints: Vec<String>,
    /// Share of the calls that are copied, in percent.
    #[serde(default = "all")]
    pub percent: u32,
    /// Copies under way at once; further ones are left out.
    #[serde(default = "mirrored_at_once")]
    pub max_requests: usize,
}

/// One upstream: the way to it, and the settings that the way was made from. Clones are the same
/// upstream.
#[derive(Clone)]
pub(crate) struct UpstreamHandle(Arc<(UpstreamSettings, Upstream)>);

// === impl UpstreamHandle ===

impl UpstreamHandle {
    /// Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Names the setting that does not fit, or whose file cannot be used.
    pub(crate) fn connect(
        settings: UpstreamSettings,
        metrics: &Metrics,
    ) -> Result<Self, ConfigError> {
        let key = format!("upstream.{}", settings.name);
        let client = Upstream::new(settings.clone(), &key, &[])?.counted(metrics);
        Ok(Self(Arc::new((settings, client))))
    }

    /// The name of the upstream in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.settings().name
    }

    pub(crate) fn settings(&self) -> &UpstreamSettings {
        &self.0.0
    }

    pub(crate) fn client(&self) -> &Upstream {
        &self.0.1
    }
}

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// === impl UpstreamTable ===

impl UpstreamTable {
    /// Returns the settings of the client. `client` is the section `[client]` of the process.
    ///
    /// # Errors
    /// Names the key that does not fit.
    pub(crate) fn settings(
        &self,
        name: &str,
        client: &ClientSettings,
    ) -> Result<UpstreamSettings, ConfigError> {
        let key = format!("upstream.{name}");
        let versions = self.version.iter().map(|(name, table)| VersionSettings {
            name: name.clone(),
            endpoints: table.endpoints.clone(),
            percent: table.percent,
            headers: table.headers.clone(),
        });
        let mirror = self.mirror.as_ref().map(|table| MirrorSettings {
            endpoints: table.endpoints.clone(),
            percent: table.percent,
            max_requests: table.max_requests,
        });
        let settings = UpstreamSettings {
            name: name.to_owned(),
            endpoints: self.endpoints.clone(),
            tls: self.tls.clone(),
            client: client.with(&self.client, &format!("{key}.client"))?,
            versions: versions.collect(),
            mirror,
        };
        settings.validate(&key)?;
        Ok(settings)
    }
}

fn all() -> u32 {
    100
}

fn mirrored_at_once() -> usize {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<UpstreamSettings, ConfigError> {
        let table: UpstreamTable = toml::from_str(text).unwrap();
        table.settings("orders", &ClientSettings::default())
    }

    #[test]
    fn a_table_says_all_that_a_client_takes() {
        let settings = read(
            r#"
            endpoints = ["https://a.example:1", "https://b.example:1"]
            tls = { ca = "ca.pem", server_name = "orders" }
            client = { max_requests = 5 }
            version.canary = { endpoints = ["https://c.example:1"], percent = 5, headers = { x-canary = "1" } }
            mirror = { endpoints = ["http://d.example:1"], percent = 10 }
            "#,
        )
        .unwrap();
        assert_eq!(settings.name, "orders");
        assert_eq!(settings.endpoints.len(), 2);
        assert_eq!(settings.tls.server_name.as_deref(), Some("orders"));
        assert_eq!(settings.client.max_requests, 5);
        assert_eq!(settings.versions[0].percent, 5);
        let mirror = settings.mirror.unwrap();
        assert_eq!((mirror.percent, mirror.max_requests), (10, 100));
    }

    #[test]
    fn a_key_that_does_not_fit_is_named() {
        for (text, key) in [
            ("endpoints = []", "`upstream.orders.endpoints`"),
            (
                "endpoints = ['http://a:1']\nclient.hedge = 1",
                "`upstream.orders.client.hedge`",
            ),
            (
                "endpoints = ['http://a:1']\nmirror = { endpoints = ['x'] }",
                "`upstream.orders.mirror.endpoints`",
            ),
            (
                "endpoints = ['http://a:1']\nversion.b = { endpoints = ['http://b:1'] }",
                "`upstream.orders.version.b`",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
