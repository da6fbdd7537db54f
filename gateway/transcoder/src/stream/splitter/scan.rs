//! Finds where one message ends, remembering between chunks no more than it must.

use wire::MAX_DEPTH;

/// The end of a message.
#[derive(Debug)]
pub(super) enum Value {
    /// A line feed.
    Line,
    /// Bytes that end a number or a word.
    Bare,
    /// The quote or bracket that closes the value. A bracket of the wrong kind counts too: its
    /// message is rejected later.
    Nested {
        depth: usize,
        is_string: bool,
        is_escaped: bool,
    },
    /// So many bytes.
    Counted { left: usize },
}

/// The result of scanning a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The message continues after this chunk.
    More,
    /// The message ends after so many bytes.
    End(usize),
    /// It is longer than allowed.
    TooLong,
    /// A bracket after so many bytes exceeds the depth.
    TooDeep(usize),
}

/// The end in the window, if it is there.
type End = Result<Option<usize>, Scanned>;

// === impl Value ===

impl Value {
    /// Returns the JSON value that begins with this byte, if one does.
    pub(super) fn beginning(byte: u8, is_line: bool) -> Option<Value> {
        match byte {
            b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if is_line => {
                Some(Value::Line)
            }
            b'{' | b'[' | b'"' => Some(Value::Nested {
                depth: 0,
                is_string: false,
                is_escaped: false,
            }),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Some(Value::Bare),
            _ => None,
        }
    }

    /// Looks at the chunk from where the one before has ended; the message may take up `room` bytes
    /// of it.
    pub(super) fn scan(&mut self, chunk: &[u8], room: usize) -> Scanned {
        // One byte more than there is room for may show that the message has just ended. No byte
        // after it is inspected, so that the result does not depend on the chunks.
        let window = chunk.get(..room.saturating_add(1)).unwrap_or(chunk);
        let end = match self {
            Value::Line => Ok(memchr::memchr(b'\n', window)),
            Value::Bare => Ok(window.iter().position(|byte| !is_bare(*byte))),
            Value::Nested {
                depth,
                is_string,
                is_escaped,
            } => nested(window, depth, is_string, is_escaped),
            Value::Counted { left } => {
                let end = (*left <= window.len()).then_some(*left);
                *left -= window.len().min(*left);
                Ok(end)
            }
        };
        match end {
            Ok(Some(end)) if end <= room => Scanned::End(end),
            Ok(None) if chunk.len() <= room => Scanned::More,
            Ok(_) => Scanned::TooLong,
            Err(too_deep) => too_deep,
        }
    }
}

fn nested(window: &[u8], depth: &mut usize, is_string: &mut bool, is_escaped: &mut bool) -> End {
    let mut rest = window;
    loop {
        if *is_string {
            match string(rest, is_escaped) {
                Some(tail) => rest = tail,
                None => return Ok(None),
            }
            *is_string = false;
            if *depth == 0 {
                return Ok(Some(window.len() - rest.len()));
            }
        }
        let Some(at) = rest.iter().position(|byte| STRUCTURAL[usize::from(*byte)]) else {
            return Ok(None);
        };
        let (head, tail) = rest.split_at_checked(at + 1).unwrap_or((rest, &[]));
        match head.last() {
            Some(b'"') => *is_string = true,
            Some(b'{' | b'[') if *depth == MAX_DEPTH => {
                return Err(Scanned::TooDeep(window.len() - tail.len() - 1));
            }
            Some(b'{' | b'[') => *depth += 1,
            _ => *depth = depth.saturating_sub(1),
        }
        rest = tail;
        if *depth == 0 && !*is_string {
            return Ok(Some(window.len() - rest.len()));
        }
    }
}

/// Returns the text after the string; `None` if the string continues.
fn string<'w>(window: &'w [u8], is_escaped: &mut bool) -> Option<&'w [u8]> {
    let mut rest = window;
    loop {
        let at = if *is_escaped {
            rest = rest.split_first()?.1;
            *is_escaped = false;
            near_quote(rest)?
        } else {
            memchr::memchr2(b'"', b'\\', rest)?
        };
        let (head, tail) = rest.split_at_checked(at + 1)?;
        if head.last() == Some(&b'"') {
            return Some(tail);
        }
        *is_escaped = true;
        rest = tail;
    }
}

/// Returns the place of a quote or backslash. Escapes are often close together, and a few bytes
/// cost less than memchr's beginning.
fn near_quote(text: &[u8]) -> Option<usize> {
    const NEAR: usize = 8;
    let (near, far) = text.split_at_checked(NEAR).unwrap_or((text, &[]));
    near.iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
        .or_else(|| Some(NEAR + memchr::memchr2(b'"', b'\\', far)?))
}

/// Bytes that matter outside of strings.
const STRUCTURAL: [bool; 256] = {
    let mut table = [false; 256];
    table[b'"' as usize] = true;
    table[b'{' as usize] = true;
    table[b'}' as usize] = true;
    table[b'[' as usize] = true;
    table[b']' as usize] = true;
    table
};

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
