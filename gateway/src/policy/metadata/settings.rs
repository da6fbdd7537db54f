//! `[metadata]`: which headers become metadata of a call, and which metadata become headers.

use chassis::config::ConfigError;
use http::HeaderName;
use serde::Deserialize;

use super::is_reserved;
use crate::settings::reject_key;

/// Names are header names in lower case; one that ends with `*` stands for all that begin so.
#[derive(Clone, Debug, Deserialize)]
pub struct MetadataSettings {
    /// Request headers that become metadata of the same name.
    pub request: Vec<String>,
    /// Request headers that begin so become metadata of what follows; empty for none.
    pub request_prefix: String,
    /// Metadata of the upstream that become response headers and trailers.
    pub response: Vec<String>,
    /// Metadata that don't, of those above.
    pub response_deny: Vec<String>,
    /// Trailers that a stream over HTTP/1.1 may end with.
    pub stream_trailers: Vec<String>,
    /// Whether method, path and template of the HTTP request are sent to the upstream.
    pub forward_origin: bool,
}

impl MetadataSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (key, names) in [
            ("metadata.request", &self.request),
            ("metadata.response", &self.response),
            ("metadata.response_deny", &self.response_deny),
        ] {
            names.iter().try_for_each(|name| check(key, name, true))?;
        }
        for name in &self.stream_trailers {
            check("metadata.stream_trailers", name, false)?;
        }
        let prefix = &self.request_prefix;
        if !prefix.is_empty() && HeaderName::from_lowercase(prefix.as_bytes()).is_err() {
            let problem = format!("`{prefix}` does not begin header names in lower case");
            return reject_key("metadata.request_prefix", &problem);
        }
        Ok(())
    }
}

fn check(key: &str, name: &str, may_be_prefix: bool) -> Result<(), ConfigError> {
    let stem = name.strip_suffix('*').filter(|_| may_be_prefix);
    let exact = stem.unwrap_or(name);
    let is_all = stem == Some("");
    let is_name = HeaderName::from_lowercase(exact.as_bytes()).is_ok() && !exact.contains('*');
    if !is_all && !is_name {
        return reject_key(key, &format!("`{name}` is not a header name in lower case"));
    }
    if stem.is_none() && is_reserved(exact) {
        return reject_key(
            key,
            &format!("`{name}` is reserved for HTTP or gRPC itself"),
        );
    }
    Ok(())
}
