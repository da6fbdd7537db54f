//! Bytes as text: how a report shows them, and how deep they may nest.

pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Returns how many brackets open: no text is nested deeper.
pub(crate) fn brackets(text: &[u8]) -> usize {
    text.iter()
        .filter(|byte| matches!(byte, b'{' | b'['))
        .count()
}
