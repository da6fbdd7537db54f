//! `[cors]`: which pages of other origins may read the answers.

use chassis::config::ConfigError;
use http::{HeaderName, Method, Uri};
use serde::Deserialize;

use super::refuse;

/// Cross-origin resource sharing (Fetch standard §3.3); it is off without `allowed_origins`.
#[derive(Clone, Debug, Deserialize)]
pub struct CorsSettings {
    /// `https://shop.example`, `https://*.shop.example` for all below it, `*` for all.
    pub allowed_origins: Vec<String>,
    /// Methods that may be used; none for those that the path has routes for.
    pub allowed_methods: Vec<String>,
    /// Request headers that may be sent; `*` for all.
    pub allowed_headers: Vec<String>,
    /// Response headers that a page may read.
    pub exposed_headers: Vec<String>,
    /// Whether cookies and the like go along.
    pub allow_credentials: bool,
    /// How long a browser may remember a preflight, in seconds.
    pub max_age_seconds: u32,
    /// Whether pages of a public network may call a gateway in a private one.
    pub allow_private_network: bool,
}

impl CorsSettings {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for origin in &self.allowed_origins {
            if !is_origin(origin) {
                let problem = format!(
                    "`{origin}` is no origin: expected `*`, `null`, `scheme://host[:port]` or `scheme://*.host[:port]`"
                );
                return refuse("cors.allowed_origins", &problem);
            }
        }
        for method in &self.allowed_methods {
            let is_method = Method::from_bytes(method.as_bytes()).is_ok()
                && !method.bytes().any(|byte| byte.is_ascii_lowercase());
            if !is_method {
                let problem = format!("`{method}` is not a method in capitals");
                return refuse("cors.allowed_methods", &problem);
            }
        }
        for (key, names) in [
            ("cors.allowed_headers", &self.allowed_headers),
            ("cors.exposed_headers", &self.exposed_headers),
        ] {
            let is_name = |name: &String| name == "*" || name.parse::<HeaderName>().is_ok();
            if let Some(name) = names.iter().find(|name| !is_name(name)) {
                return refuse(key, &format!("`{name}` is not a header name"));
            }
        }
        self.validate_credentials()
    }

    /// With credentials `*` would mean every site of the web, or, where the standard takes it literally, nothing.
    fn validate_credentials(&self) -> Result<(), ConfigError> {
        let has_star = |list: &[String]| list.iter().any(|item| item == "*");
        for (key, list) in [
            ("cors.allowed_origins", &self.allowed_origins),
            ("cors.allowed_headers", &self.allowed_headers),
            ("cors.exposed_headers", &self.exposed_headers),
        ] {
            if self.allow_credentials && has_star(list) {
                return refuse(key, "`*` cannot go with `cors.allow_credentials`");
            }
        }
        Ok(())
    }
}

fn is_origin(text: &str) -> bool {
    if matches!(text, "*" | "null") {
        return true;
    }
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let uri: Result<Uri, _> = format!("{scheme}://{host}").parse();
    let is_host = |uri: &Uri| uri.authority().is_some_and(|authority| authority == host);
    !host.contains(['*', '@', '/', '?', '#'])
        && text.bytes().all(|byte| !byte.is_ascii_uppercase())
        && uri.is_ok_and(|uri| is_host(&uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for (text, expected) in [
            ("*", true),
            ("null", true),
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("https://*.shop.example", true),
            ("https://*.shop.example:8443", true),
            ("shop.example", false),
            ("https://shop.example/", false),
            ("https://Shop.example", false),
            ("https://a.*.example", false),
            ("https://*", false),
            ("https://", false),
            ("https://a@b.example", false),
            ("", false),
        ] {
            assert_eq!(is_origin(text), expected, "{text}");
        }
    }
}
