//! The segments of a request path, without a copy of it.

use crate::error::RouteError;
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_SEGMENTS};
use crate::percent;

/// Where the segments of a path are. Paths are bounded to less than 64 KiB and their segments to an
/// array on the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    starts: [u16; MAX_PATH_SEGMENTS],
    len: u8,
    /// End of the last segment: the end of the path, or the colon before its verb.
    pub(super) end: u16,
    /// The first empty segment; the number of segments if there is none.
    first_empty: u8,
}

// === impl Spans ===

impl Spans {
    /// Splits a raw path, and rejects what must never be forwarded: dot segments, malformed
    /// escapes, NUL, broken UTF-8.
    pub(super) fn split(path: &str) -> Result<Spans, RouteError> {
        let bad = |reason| RouteError::BadPath { reason };
        if path.len() > MAX_PATH_BYTES {
            let reason = "the path is too long";
            return Err(RouteError::PathTooLong { reason });
        }
        if !path.starts_with('/') {
            return Err(bad("a path starts with '/'"));
        }
        let mut spans = Spans {
            starts: [0; MAX_PATH_SEGMENTS],
            len: 0,
            end: path.len() as u16,
            first_empty: u8::MAX,
        };
        if path.len() > 1 {
            spans.fill(path)?;
        }
        spans.first_empty = spans.first_empty.min(spans.len);
        Ok(spans)
    }

    fn fill(&mut self, path: &str) -> Result<(), RouteError> {
        let bytes = path.as_bytes();
        let mut start = 1;
        let mut is_plain = true;
        for (at, byte) in bytes.iter().enumerate().skip(1) {
            match byte {
                b'/' => {
                    self.push(path, start, at, is_plain)?;
                    (start, is_plain) = (at + 1, true);
                }
                // An escape, or the dot that a dot segment starts with.
                b'%' | b'.' | 0 => is_plain = false,
                _ => {}
            }
        }
        self.push(path, start, bytes.len(), is_plain)
    }

    fn push(
        &mut self,
        path: &str,
        start: usize,
        end: usize,
        is_plain: bool,
    ) -> Result<(), RouteError> {
        if !is_plain {
            refuse_dots(path.get(start..end).unwrap_or_default())?;
        }
        if start == end {
            self.first_empty = self.first_empty.min(self.len);
        }
        let Some(place) = self.starts.get_mut(usize::from(self.len)) else {
            let reason = "the path has too many segments";
            return Err(RouteError::PathTooLong { reason });
        };
        *place = start as u16;
        self.len += 1;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn first_empty(&self) -> usize {
        usize::from(self.first_empty)
    }

    /// Returns the raw text of the segments from `start` up to `end`, slashes between them
    /// included.
    pub(crate) fn text<'a>(&self, path: &'a str, start: usize, end: usize) -> &'a str {
        let bounds = || {
            let from = *self.starts.get(start)?;
            let to = match self.starts.get(end) {
                Some(next) if end < self.len() => next.checked_sub(1)?,
                _ => self.end,
            };
            path.get(usize::from(from)..usize::from(to))
        };
        if start < end && end <= self.len() {
            bounds().unwrap_or_default()
        } else {
            ""
        }
    }

    /// Returns the last segment up to its last colon, which may be no dot segment either, and what
    /// follows it.
    pub(super) fn split_verb<'a>(
        &self,
        path: &'a str,
    ) -> Result<Option<(&'a str, &'a str)>, RouteError> {
        let last = self.len().saturating_sub(1);
        let split = self.text(path, last, self.len()).rsplit_once(':');
        if let Some((before, _)) = split {
            refuse_dots(before)?;
        }
        Ok(split)
    }

    /// Returns the spans without the verb after `before`, the text of the last segment.
    pub(super) fn without_verb(&self, before: &str) -> Spans {
        let mut spans = *self;
        let last = self.len().saturating_sub(1);
        let start = self.starts.get(last).copied().unwrap_or_default();
        spans.end = start + before.len() as u16;
        if before.is_empty() {
            spans.first_empty = spans.first_empty.min(last as u8);
        }
        spans
    }
}

fn refuse_dots(raw: &str) -> Result<(), RouteError> {
    let bad = |reason| RouteError::BadPath { reason };
    match &*percent::decode_all(raw).map_err(bad)? {
        "." | ".." => Err(bad("dot segments are not resolved")),
        _ => Ok(()),
    }
}
