//! Conditional requests (RFC 9110 §13): what versions of a message are told apart by, and what is not sent again.

use std::fmt::Write;

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, TRAILER,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use tonic::body::Body;

use crate::compression::Coding;
use crate::config::Config;

/// How much of the hash makes the tag: nobody finds two messages that share it by chance.
const TAG_BYTES: usize = 16;

/// Makes strong entity tags. Equal messages have equal tags in every gateway of the same configuration.
pub(crate) struct Tagger {
    /// The hash of what decides how messages look.
    seed: Sha256,
}

impl Tagger {
    pub(super) fn new(config: &Config) -> Option<Self> {
        if !config.conditional.etag {
            return None;
        }
        let mut seed = Sha256::new();
        seed.update(format!("{:?}", config.transcoding().json));
        Some(Self { seed })
    }

    /// The tag of a message, in canonical form, of which these fields are shown.
    pub(crate) fn tag(&self, canonical: &[u8], fields: &str) -> Option<HeaderValue> {
        let mut hash = self.seed.clone();
        hash.update((fields.len() as u64).to_be_bytes());
        hash.update(fields);
        hash.update(canonical);
        let mut tag = String::with_capacity(2 * TAG_BYTES + 2);
        tag.push('"');
        for byte in &hash.finalize()[..TAG_BYTES] {
            // A string takes everything.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        HeaderValue::try_from(tag).ok()
    }
}

/// Whether a request asks for something only under a condition, so that an unmet one is 412.
pub(crate) fn is_condition(headers: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// A strong tag means the very bytes, so that each coding has a tag of its own (RFC 9110 §8.8.3.3).
pub(super) fn mark(headers: &mut HeaderMap, coding: Coding) {
    let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
        return;
    };
    let Some(opaque) = tag.strip_suffix('"').filter(|_| tag.starts_with('"')) else {
        return;
    };
    if let Ok(marked) = HeaderValue::try_from(format!("{opaque}-{}\"", coding.name())) {
        headers.insert(ETAG, marked);
    }
}

/// The tags as the upstream knows them, without the marks of codings.
pub(super) fn unmark(metadata: &mut HeaderMap) {
    let Some(tags) = metadata.get(IF_MATCH).and_then(|tags| tags.to_str().ok()) else {
        return;
    };
    let codings = [Coding::Gzip, Coding::Deflate, Coding::Br, Coding::Zstd];
    let unmarked = codings.iter().fold(tags.to_owned(), |tags, coding| {
        tags.replace(&format!("-{}\"", coding.name()), "\"")
    });
    if let Ok(unmarked) = HeaderValue::try_from(unmarked) {
        metadata.insert(IF_MATCH, unmarked);
    }
}

/// Whether the caller has what it would get (RFC 9110 §13.1.2).
pub(super) fn is_unmodified(request: &Parts, response: &Response<Body>) -> bool {
    let Some(asked) = request.headers.get(IF_NONE_MATCH) else {
        return false;
    };
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let Some(tag) = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
    else {
        return false;
    };
    if !reads || response.status() != StatusCode::OK {
        return false;
    }
    let lines = request.headers.get_all(IF_NONE_MATCH).iter();
    asked == "*"
        || lines
            .filter_map(|line| line.to_str().ok())
            .any(|line| lists(line, tag))
}

/// Whether a list of tags holds this one, by weak comparison (RFC 9110 §8.8.3.2).
fn lists(mut list: &str, tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    // Commas may be inside of tags.
    while let Some(start) = list.find('"') {
        let Some(length) = list[start + 1..].find('"') else {
            return false;
        };
        let end = start + length + 2;
        if &list[start..end] == opaque {
            return true;
        }
        list = &list[end..];
    }
    false
}

/// The response without what the caller has (RFC 9110 §15.4.5).
pub(super) fn not_modified(response: Response<Body>) -> Response<Body> {
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRAILER] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_one_by_one() {
        for (list, expected) in [
            (r#""a""#, true),
            (r#"W/"a""#, true),
            (r#""b", W/"a""#, true),
            (r#""b,a""#, false),
            (r#""b""#, false),
            (r#""a"#, false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(lists(list, r#""a""#), expected, "{list}");
            assert_eq!(lists(list, r#"W/"a""#), expected, "{list}");
        }
    }

    #[test]
    fn a_coding_has_a_tag_of_its_own_that_upstreams_never_see() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        mark(&mut headers, Coding::Br);
        assert_eq!(headers[ETAG], "\"a-br\"");
        headers.insert(IF_MATCH, headers[ETAG].clone());
        unmark(&mut headers);
        assert_eq!(headers[IF_MATCH], "\"a\"");
    }
}
