//! Conditional requests (RFC 9110 §13): entity tags and 304 responses.

use compression::Coding;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, TRAILER,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde::Deserialize;
use tonic::body::Body;
use transcoder::JsonOptions;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

/// Conditional requests (RFC 9110 §13).
#[derive(Clone, Debug, Deserialize)]
pub struct ConditionalSettings {
    /// Whether answers to GET and HEAD that are one message carry an `ETag` where the upstream
    /// sends none.
    pub etag: bool,
}

/// Makes strong entity tags. Equal messages have equal tags in every gateway of the same
/// configuration and API.
pub(crate) struct Tagger {
    /// Stands for how messages are shown.
    seed: u64,
}

impl Tagger {
    /// Returns `None` if tags are off. `json` is part of what tags depend on.
    pub(super) fn new(settings: &ConditionalSettings, json: &JsonOptions) -> Option<Self> {
        let shown = format!("{json:?}");
        settings.etag.then(|| Self {
            seed: xxh3_64(shown.as_bytes()),
        })
    }

    /// The tag of a message, in canonical form, of which these fields are shown by this revision of
    /// the API.
    ///
    /// XXH3 is no cryptographic hash: whoever writes the messages of a resource could make two of
    /// them share a tag, and so keep readers from seeing the second one, which leaving the first
    /// one in place does as well.
    pub(crate) fn tag(&self, canonical: &[u8], fields: &str, revision: u64) -> Option<HeaderValue> {
        let seed = xxh3_64_with_seed(fields.as_bytes(), self.seed ^ revision);
        let hash = xxh3_128_with_seed(canonical, seed);
        HeaderValue::try_from(format!("\"{hash:032x}\"")).ok()
    }
}

/// Whether a request asks for something only under a condition, so that an unmet one is 412.
pub(crate) fn is_condition(headers: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Marks the tag with the coding: a strong tag identifies exact bytes (RFC 9110 §8.8.3.3).
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
    fn a_caller_has_what_any_of_its_tags_names() {
        for (sent, expected) in [
            (r#""a""#, true),
            (r#""x", W/"a""#, true),
            ("*", true),
            (r#""x""#, false),
            ("", false),
        ] {
            let request = http::Request::get("/").header(IF_NONE_MATCH, sent);
            let (request, ()) = request.body(()).unwrap().into_parts();
            let response = Response::builder().header(ETAG, r#""a""#);
            let response = response.body(Body::empty()).unwrap();
            assert_eq!(is_unmodified(&request, &response), expected, "{sent}");
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
