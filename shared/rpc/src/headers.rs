//! Header fields that hold comma-separated lists, and names of the project's own.

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName};

/// Metadata of a call to the operators' side of the process with this name.
pub const PROCESS: HeaderName = HeaderName::from_static("mesh-process");

/// Metadata with the token by which a process tells another who calls (`auth::internal`). Only the
/// client stack sets it.
pub const IDENTITY: HeaderName = HeaderName::from_static("mesh-identity");

/// Returns the elements of a list header, over all of its lines, trimmed and without empty ones
/// (RFC 9110 §5.6.1).
///
/// For lists whose elements hold no quoted strings. Lines that are not visible ASCII are skipped.
pub fn list(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(split)
}

/// Returns the elements of one line of a list header; see [`list`].
pub fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split(',')
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HeaderValue};

    use super::*;

    #[test]
    fn lines_are_one_list() {
        let mut headers = HeaderMap::new();
        for line in ["a, b", "", " ,c\t,,", "é"] {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(ACCEPT, line);
        }
        assert_eq!(list(&headers, ACCEPT).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(list(&headers, "x-none").count(), 0);
    }
}
