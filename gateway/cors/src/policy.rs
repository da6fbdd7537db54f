//! Cross-origin resource sharing (Fetch standard §3.3): the pages that may read responses.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode, Uri};
use rpc::config::ConfigError;
use serde::Deserialize;
use tonic::body::Body;

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Everything that the answer to a preflight depends on.
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers, access-control-request-private-network",
);

/// The methods that a preflight is answered with, beside the one that it names.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

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

/// The configured policy.
pub struct Cors {
    origins: Origins,
    /// `None` takes them from the routes.
    methods: Option<HeaderValue>,
    /// `None` allows whichever a page asks for.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    allow_credentials: bool,
    max_age: HeaderValue,
    allow_private_network: bool,
}

struct Origins {
    any: bool,
    exact: Vec<String>,
    /// `("https://", ".shop.example:8443")` for `https://*.shop.example:8443`.
    below: Vec<(String, String)>,
}

// === impl CorsSettings ===

impl CorsSettings {
    /// # Errors
    /// The key whose value is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for origin in &self.allowed_origins {
            if !is_origin(origin) {
                let problem = format!(
                    "`{origin}` is not an origin: expected `*`, `null`, `scheme://host[:port]` or `scheme://*.host[:port]`"
                );
                return reject_key("cors.allowed_origins", &problem);
            }
        }
        for method in &self.allowed_methods {
            let is_method = Method::from_bytes(method.as_bytes()).is_ok()
                && !method.bytes().any(|byte| byte.is_ascii_lowercase());
            if !is_method {
                let problem = format!("`{method}` is not a method in capitals");
                return reject_key("cors.allowed_methods", &problem);
            }
        }
        for (key, names) in [
            ("cors.allowed_headers", &self.allowed_headers),
            ("cors.exposed_headers", &self.exposed_headers),
        ] {
            let is_name = |name: &String| name == "*" || name.parse::<HeaderName>().is_ok();
            if let Some(name) = names.iter().find(|name| !is_name(name)) {
                return reject_key(key, &format!("`{name}` is not a header name"));
            }
        }
        self.validate_credentials()
    }

    /// With credentials `*` would mean every site of the web, or, where the standard takes it
    /// literally, nothing.
    fn validate_credentials(&self) -> Result<(), ConfigError> {
        let has_star = |list: &[String]| list.iter().any(|item| item == "*");
        for (key, list) in [
            ("cors.allowed_origins", &self.allowed_origins),
            ("cors.allowed_headers", &self.allowed_headers),
            ("cors.exposed_headers", &self.exposed_headers),
        ] {
            if self.allow_credentials && has_star(list) {
                return reject_key(key, "`*` cannot go with `cors.allow_credentials`");
            }
        }
        Ok(())
    }
}

fn reject_key(key: &str, problem: &str) -> Result<(), ConfigError> {
    Err(ConfigError::effective(key, problem))
}

// === impl Cors ===

impl Cors {
    /// Compiles the policy; `None` where no origin is allowed.
    pub fn new(settings: &CorsSettings) -> Option<Self> {
        if settings.allowed_origins.is_empty() {
            return None;
        }
        let any_header = settings.allowed_headers.iter().any(|name| name == "*");
        let headers = HeaderValue::from_str(&settings.allowed_headers.join(", "));
        Some(Self {
            origins: Origins::new(&settings.allowed_origins),
            methods: list(&settings.allowed_methods),
            headers: headers.ok().filter(|_| !any_header),
            exposed: list(&settings.exposed_headers),
            allow_credentials: settings.allow_credentials,
            max_age: HeaderValue::from(settings.max_age_seconds),
            allow_private_network: settings.allow_private_network,
        })
    }

    /// The answer to a preflight (Fetch standard §3.3.2); `None` for any other request. `is_served`
    /// tells the methods that the path of the request is served for.
    pub fn preflight(
        &self,
        request: &Request<Body>,
        is_served: impl Fn(&Method) -> bool,
    ) -> Option<Response<Body>> {
        if *request.method() != Method::OPTIONS {
            return None;
        }
        let asked = request.headers();
        let origin = asked.get(ORIGIN)?;
        let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, PREFLIGHT_VARY);
        // Without these headers the browser refuses the page, and says why on its console.
        let Some(origin) = self.origin(origin) else {
            return Some(response);
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        self.add_credentials(headers);
        let derived = || served_methods(method, is_served);
        if let Some(methods) = self.methods.clone().or_else(derived) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        let wished = || asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        if let Some(allowed) = self
            .headers
            .clone()
            .or_else(wished)
            .filter(|list| !list.is_empty())
        {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        let asks_private = asked
            .get(REQUEST_PRIVATE_NETWORK)
            .is_some_and(|value| value == "true");
        if asks_private && self.allow_private_network {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Lets the page read the response, if it may.
    pub fn share(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        // Caches must not give the response for one origin to another, not even where the first one
        // had none.
        if !self.origins.any {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin.and_then(|origin| self.origin(origin)) else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        self.add_credentials(headers);
        if let Some(exposed) = &self.exposed {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Returns whether pages of this origin may call; `None` is one that the browser does not tell.
    pub fn allows(&self, origin: Option<&HeaderValue>) -> bool {
        self.origins.any || origin.is_some_and(|origin| self.origin(origin).is_some())
    }

    fn origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.any {
            return Some(HeaderValue::from_static("*"));
        }
        let is_allowed = origin
            .to_str()
            .is_ok_and(|origin| self.origins.contain(origin));
        is_allowed.then(|| origin.clone())
    }

    fn add_credentials(&self, headers: &mut HeaderMap) {
        if self.allow_credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

// === impl Origins ===

impl Origins {
    fn new(allowed: &[String]) -> Self {
        let (patterns, exact): (Vec<&String>, _) =
            allowed.iter().partition(|origin| origin.contains('*'));
        let below = |origin: &String| {
            let (scheme, host) = origin.split_once("*.")?;
            Some((scheme.to_owned(), format!(".{host}")))
        };
        Self {
            any: allowed.iter().any(|origin| origin == "*"),
            exact: exact.into_iter().cloned().collect(),
            below: patterns.into_iter().filter_map(below).collect(),
        }
    }

    fn contain(&self, origin: &str) -> bool {
        let is_below = |(scheme, host): &(String, String)| {
            let rest = origin.strip_prefix(scheme.as_str());
            let labels = rest.and_then(|rest| rest.strip_suffix(host.as_str()));
            labels.is_some_and(|labels| {
                !labels.is_empty()
                    && labels
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            })
        };
        self.exact.iter().any(|exact| exact == origin) || self.below.iter().any(is_below)
    }
}

fn list(names: &[String]) -> Option<HeaderValue> {
    let names = Some(names.join(", ")).filter(|names| !names.is_empty())?;
    HeaderValue::try_from(names).ok()
}

/// The served ones of [`METHODS`] and of the method that is asked for.
fn served_methods(asked: &HeaderValue, is_served: impl Fn(&Method) -> bool) -> Option<HeaderValue> {
    let asked = Method::from_bytes(asked.as_bytes()).ok();
    let extra = asked.filter(|asked| !METHODS.contains(asked));
    let methods = METHODS.into_iter().chain(extra).filter(is_served);
    let names: Vec<String> = methods.map(|method| method.to_string()).collect();
    list(&names)
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
    fn hosts_below_are_hosts_below_and_nothing_else() {
        let allowed = ["https://*.shop.example", "http://localhost:3000"];
        let origins = Origins::new(&allowed.map(str::to_owned));
        for (origin, expected) in [
            ("https://a.shop.example", true),
            ("https://a.b.shop.example", true),
            ("http://localhost:3000", true),
            ("https://shop.example", false),
            ("https://.shop.example", false),
            ("http://a.shop.example", false),
            ("https://a.shop.example:8443", false),
            ("https://evil.example/.shop.example", false),
            ("https://evil.example#.shop.example", false),
            ("https://evilshop.example", false),
            ("https://*.shop.example", false),
            ("http://localhost:30000", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.contain(origin), expected, "{origin}");
        }
    }

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
