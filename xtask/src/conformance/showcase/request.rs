//! One HTTP request of the suite: how a message's JSON becomes path, query and body by the rules of `google/api/http.proto`.

use std::fmt;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) body: Option<String>,
}

impl Request {
    pub(super) fn new(method: Method, path: &str, query: &[(String, String)]) -> Self {
        let pairs: Vec<_> = query
            .iter()
            .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)))
            .collect();
        let target = match pairs.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", pairs.join("&")),
        };
        Self {
            method,
            target,
            body: None,
        }
    }

    pub(super) fn body(self, body: &Value) -> Self {
        Self {
            body: Some(body.to_string()),
            ..self
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.target)?;
        match &self.body {
            Some(body) => write!(formatter, " {body}"),
            None => Ok(()),
        }
    }
}

/// For one segment of a path, or for a key or value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// For a variable of several segments.
pub(super) fn encoded_segments(text: &str) -> String {
    text.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// Query parameters for all leaves of a message, but for the `taken` ones, which path or body carry (by their dotted path,
/// whatever lies below included).
pub(super) fn query(message: &Value, taken: &[&str]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    collect(message, "", taken, &mut pairs);
    pairs
}

fn collect(value: &Value, path: &str, taken: &[&str], pairs: &mut Vec<(String, String)>) {
    if taken.contains(&path) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = match path.is_empty() {
                    true => key.clone(),
                    false => format!("{path}.{key}"),
                };
                collect(value, &path, taken, pairs);
            }
        }
        scalar => pairs.push((path.to_owned(), text(scalar))),
    }
}

/// A scalar as paths and queries write it.
pub(super) fn text(scalar: &Value) -> String {
    match scalar {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_that_nothing_else_carries_are_parameters() {
        let message = json!({"name": "a b", "info": {"fBool": true, "fChild": {"fString": "x/y"}}, "pInt64": "-1"});
        let pairs = query(&message, &["info.fBool"]);
        let target = Request::new(Method::GET, "/v1", &pairs).target;
        assert_eq!(target, "/v1?info.fChild.fString=x%2Fy&name=a%20b&pInt64=-1");
        assert!(query(&message, &["info", "name", "pInt64"]).is_empty());
        assert_eq!(Request::new(Method::GET, "/v1", &[]).target, "/v1");
    }

    #[test]
    fn slashes_stay_only_between_segments() {
        assert_eq!(encoded("first/☺"), "first%2F%E2%98%BA");
        assert_eq!(encoded_segments("first/100%"), "first/100%25");
    }
}
