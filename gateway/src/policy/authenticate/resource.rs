//! Metadata of this API as a protected resource (RFC 9728): where clients get tokens for it.

use auth::AuthenticationSettings;
use bytes::Bytes;
use chassis::config::ConfigError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, Uri};
use http_body_util::Full;
use serde_json::json;
use tonic::body::Body;

use crate::settings::key_error;

/// The place of the metadata, before the path of the resource (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

const KEY: &str = "authentication.resource";

/// The metadata, and where they are.
pub(super) struct Resource {
    path: String,
    challenge: HeaderValue,
    document: Bytes,
}

// === impl Resource ===

impl Resource {
    /// `None` without an identifier of the API.
    ///
    /// # Errors
    /// An identifier that is not a URL.
    pub(super) fn new(settings: &AuthenticationSettings) -> Result<Option<Self>, ConfigError> {
        let resource = &settings.resource;
        if resource.is_empty() {
            return Ok(None);
        }
        let refuse = |problem: &str| key_error(KEY, &format!("`{resource}` {problem}"));
        let uri: Uri = resource.parse().map_err(|_| refuse("is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse("is not an absolute URL"));
        };
        if uri.query().is_some() || resource.contains('#') {
            return Err(refuse("has a query or a fragment"));
        }
        let path = format!("{WELL_KNOWN}{}", uri.path().trim_end_matches('/'));
        let challenge = format!("Bearer resource_metadata=\"{scheme}://{authority}{path}\"");
        let challenge = HeaderValue::try_from(challenge);
        let issuers = settings.issuer.values().map(|issuer| &issuer.url);
        let issuers: Vec<&String> = issuers.collect();
        let document = json!({
            "resource": resource,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        Ok(Some(Self {
            path,
            challenge: challenge.map_err(|_| refuse("does not fit into a header"))?,
            document: document.to_string().into(),
        }))
    }

    /// Returns the challenge that says where the metadata are (RFC 9728 §5.1).
    pub(super) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    /// Answers a request for the metadata.
    pub(super) fn answer(&self, head: &Parts) -> Option<Response<Body>> {
        let is_asked =
            head.uri.path() == self.path && matches!(head.method, Method::GET | Method::HEAD);
        if !is_asked {
            return None;
        }
        let mut response = Response::new(Body::new(Full::from(self.document.clone())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        Some(response)
    }
}
