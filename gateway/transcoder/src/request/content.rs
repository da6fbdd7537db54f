//! The content type of a request body, as a pure function of the header.

use crate::media;

/// How a request body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// JSON text: `application/json`, and anything of `application` that ends in `+json`.
    #[default]
    Json,
    /// Pairs of field paths and texts, by the rules of a query:
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Protobuf wire format: `application/protobuf`, `application/x-protobuf`,
    /// `application/vnd.google.protobuf`.
    Protobuf,
}

/// A content type that no message can be read from (415).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported content type `{found}`")]
pub struct UnsupportedMediaType {
    /// The media type that was found, in lower case and without parameters; with its charset where
    /// that is at fault.
    pub found: String,
}

// === impl Content ===

impl Content {
    /// Reads a `content-type` header; an empty one means JSON. Parameters are passed over, but a
    /// charset must be UTF-8, which is all that JSON, forms and protobuf know (RFC 8259 section
    /// 8.1).
    ///
    /// # Errors
    /// No message is ever written like that.
    pub fn of(content_type: &str) -> Result<Content, UnsupportedMediaType> {
        let essence = media::essence(content_type);
        let content = match essence.as_str() {
            "" => Content::Json,
            "application/x-www-form-urlencoded" => Content::Form,
            json if media::is_json(json) => Content::Json,
            protobuf if media::PROTOBUF.contains(&protobuf) => Content::Protobuf,
            _ => return Err(UnsupportedMediaType { found: essence }),
        };
        let charset = content_type
            .split(';')
            .skip(1)
            .map(str::trim)
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim_end().eq_ignore_ascii_case("charset"));
        match charset.map(|(_, value)| value.trim().trim_matches('"')) {
            Some(charset) if !is_utf8(charset) => Err(UnsupportedMediaType {
                found: format!("{essence}; charset={}", charset.to_ascii_lowercase()),
            }),
            _ => Ok(content),
        }
    }

    /// Reads a `content-type` header as gateways do that take every body for JSON: only protobuf is
    /// told by the header alone, and a form must also read as one. What `curl -d '{…}'` sends, JSON
    /// under the type of a form, is JSON.
    pub fn lenient(content_type: &str, body: &[u8]) -> Content {
        match Content::of(content_type) {
            Ok(Content::Protobuf) => Content::Protobuf,
            Ok(Content::Form) if reads_as_form(body) => Content::Form,
            _ => Content::Json,
        }
    }
}

/// No JSON text but an object, an array or a string has a `=` in it.
fn reads_as_form(body: &[u8]) -> bool {
    body.contains(&b'=') && !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// ASCII is a part of UTF-8.
fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"]
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_a_form_whatever_the_type() {
        let form = "application/x-www-form-urlencoded";
        for (header, body, expected) in [
            (form, r#"{"a":"b=c"}"#, Content::Json),
            (form, "\n [1]", Content::Json),
            (form, "\"a=b\"", Content::Json),
            (form, "12", Content::Json),
            (form, "", Content::Json),
            (form, "a=b&c", Content::Form),
            ("text/plain", "a=b", Content::Json),
            ("application/json; charset=latin1", "{}", Content::Json),
            ("application/protobuf", "{}", Content::Protobuf),
        ] {
            let found = Content::lenient(header, body.as_bytes());
            assert_eq!(found, expected, "{header}: {body}");
        }
    }

    #[test]
    fn content_types_are_told_apart() {
        let refused = |found: &str| {
            Err(UnsupportedMediaType {
                found: found.into(),
            })
        };
        for (header, expected) in [
            ("", Ok(Content::Json)),
            ("application/json", Ok(Content::Json)),
            ("Application/JSON ; Charset=\"UTF-8\"", Ok(Content::Json)),
            ("application/merge-patch+json", Ok(Content::Json)),
            ("application/json; q=a; charset=us-ascii", Ok(Content::Json)),
            ("application/x-www-form-urlencoded", Ok(Content::Form)),
            ("application/protobuf", Ok(Content::Protobuf)),
            ("application/vnd.google.protobuf", Ok(Content::Protobuf)),
            (
                "application/x-protobuf;messageType=a.B",
                Ok(Content::Protobuf),
            ),
            (
                "application/json; charset=latin1",
                refused("application/json; charset=latin1"),
            ),
            ("text/plain", refused("text/plain")),
            ("image/svg+json", refused("image/svg+json")),
            (
                "multipart/form-data; boundary=x",
                refused("multipart/form-data"),
            ),
        ] {
            assert_eq!(Content::of(header), expected, "{header}");
        }
    }
}
