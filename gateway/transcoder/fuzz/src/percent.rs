//! Percent-decoding as RFC 3986 section 2.1 says it, with the refusals of the transcoder: NUL,
//! broken escapes, broken UTF-8.

/// The escapes and signs with a special meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All escapes are decoded.
    All,
    /// `%2F` stays as it is written.
    KeepSlash,
    /// `+` is a space.
    Form,
}

/// Returns the decoded text; `None` where it has to be rejected.
pub(crate) fn decode(text: &str, mode: Mode) -> Option<String> {
    let mut parts = text.split('%');
    let plain = |part: &str| match mode {
        Mode::Form => part.replace('+', " "),
        _ => part.to_owned(),
    };
    let mut bytes = plain(parts.next()?).into_bytes();
    for part in parts {
        let escape = part.get(..2)?;
        if !escape.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        match u8::from_str_radix(escape, 16).ok()? {
            b'/' if mode == Mode::KeepSlash => bytes.extend([b"%", escape.as_bytes()].concat()),
            byte => bytes.push(byte),
        }
        bytes.extend(plain(&part[2..]).bytes());
    }
    (!bytes.contains(&0)).then(|| String::from_utf8(bytes).ok())?
}

/// Returns every byte as an escape.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
