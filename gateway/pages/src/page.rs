//! A page that is there, under a strong validator.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http_body_util::Full;
use tonic::body::Body;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A page that is there, under a strong validator.
#[derive(Debug, Clone)]
pub struct Page {
    content_type: &'static str,
    /// With its quotes (RFC 9110 §8.8.3).
    tag: String,
    content: Bytes,
    /// Content security policy of a page that browsers show.
    policy: Option<&'static str>,
}

/// Returns a strong validator of these parts, the same in every process.
pub fn tag(parts: &[&[u8]]) -> String {
    let hash = parts
        .iter()
        .fold(0, |seed, part| xxh3_64_with_seed(part, seed));
    format!("\"{hash:016x}\"")
}

// === impl Page ===

impl Page {
    /// Creates a page with a validator of its own, see [`tag`].
    pub fn new(content_type: &'static str, tag: String, content: Bytes) -> Self {
        Self {
            content_type,
            tag,
            content,
            policy: None,
        }
    }

    /// Makes it one that browsers show under this content security policy.
    pub(crate) fn shown(mut self, policy: &'static str) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Returns its bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns the page as a response. `If-None-Match` is up to the server.
    pub fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::new(Full::new(self.content)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(ETAG, tag);
        }
        // To be kept, and asked about each time: it may be another after the next schema.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let of_browsers = [
            ("content-security-policy", self.policy),
            ("referrer-policy", self.policy.map(|_| "no-referrer")),
            ("x-content-type-options", self.policy.map(|_| "nosniff")),
        ];
        for (name, value) in of_browsers {
            if let Some(value) = value {
                let name = HeaderName::from_static(name);
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_parts_apart() {
        assert_ne!(tag(&[b"a", b"b"]), tag(&[b"ab", b""]));
    }
}
