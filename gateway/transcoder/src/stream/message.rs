//! One message of a request stream, and errors about it.

use crate::error::RequestError;

/// One message of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its JSON text, without white space around it; or its protobuf encoding.
    pub bytes: &'a [u8],
    /// How many messages came before it.
    pub index: u64,
    /// Where in the stream it begins, in bytes.
    pub offset: u64,
}

// === impl Message ===

impl Message<'_> {
    /// Places an error about this message in its stream: `[17].lines[3]`, and an offset from the
    /// start of the body.
    pub fn locate(&self, error: RequestError) -> RequestError {
        let offset = error.offset.map(|offset| {
            let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
            start.saturating_add(offset)
        });
        RequestError {
            offset,
            ..*Box::new(error).at_index(clamp(self.index))
        }
    }
}

/// Returns a count or an offset as errors have them.
pub(super) fn clamp(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
