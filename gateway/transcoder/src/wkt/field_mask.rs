//! `google.protobuf.FieldMask`: `"userId,owner.displayName"` in JSON, snake_case paths on the wire.

use wire::put_varint;

const EMPTY_PATH: &str = "empty path in a field mask";

/// Appends the `paths` of a comma-separated list in lowerCamelCase.
pub(crate) fn put_field_mask(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if text.is_empty() {
        return Ok(());
    }
    for path in text.split(',') {
        if path.is_empty() {
            return Err(EMPTY_PATH);
        }
        if !path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'*')
        {
            return Err("paths of a field mask are written in lowerCamelCase");
        }
        let humps = path.bytes().filter(u8::is_ascii_uppercase).count();
        out.push(PATHS_TAG);
        put_varint(out, (path.len() + humps) as u64);
        for byte in path.bytes() {
            if byte.is_ascii_uppercase() {
                out.push(b'_');
            }
            out.push(byte.to_ascii_lowercase());
        }
    }
    Ok(())
}

/// Tag of `repeated string paths = 1`.
pub(crate) const PATHS_TAG: u8 = 0x0a;

/// Appends one path in lowerCamelCase; rejects a path that would not come back as it was.
pub(crate) fn write_field_mask(path: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err(EMPTY_PATH);
    }
    let mut is_after_underscore = false;
    for byte in path.bytes() {
        match byte {
            b'_' if !is_after_underscore => is_after_underscore = true,
            b'a'..=b'z' if is_after_underscore => {
                out.push(byte.to_ascii_uppercase());
                is_after_underscore = false;
            }
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'*' if !is_after_underscore => out.push(byte),
            _ => return Err("field mask path has no lowerCamelCase form"),
        }
    }
    if is_after_underscore {
        return Err("field mask path has no lowerCamelCase form");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_change_case_and_back() {
        let mut wire = Vec::new();
        put_field_mask("userId,owner.displayName,*", &mut wire).unwrap();
        assert_eq!(wire, b"\x0a\x07user_id\x0a\x12owner.display_name\x0a\x01*");
        let mut text = Vec::new();
        write_field_mask("owner.display_name", &mut text).unwrap();
        assert_eq!(text, b"owner.displayName");
    }

    #[test]
    fn paths_that_would_change_are_refused() {
        for text in ["user_id", "a,,b", ",", "a b", "ä"] {
            assert!(put_field_mask(text, &mut Vec::new()).is_err(), "{text}");
        }
        for path in ["", "userId", "a__b", "a_", "a_1", "a_.b"] {
            assert!(write_field_mask(path, &mut Vec::new()).is_err(), "{path}");
        }
    }
}
