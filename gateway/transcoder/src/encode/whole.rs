//! A whole text as one JSON value, and where it ceases to be text.

use super::{Done, Encoder};
use crate::error::{Failure, RequestError, Rule};
use crate::json::Cursor;
use crate::tables::Tables;

/// Reads the whole of a text as one JSON value.
pub(crate) fn read_whole(
    types: &Tables,
    text: &[u8],
    out: &mut Vec<u8>,
    read: impl FnOnce(&mut Encoder<'_>) -> Done,
) -> Done {
    match Cursor::new(text) {
        Ok(cursor) => {
            let mut encoder = Encoder::new(types, cursor, out);
            read(&mut encoder)?;
            encoder.cursor.finish()
        }
        Err(failure) => Err(placed(types, text, failure, read)),
    }
}

/// Returns the failure of a text that is not UTF-8, with the field in which the invalid byte is:
/// the valid part is read to find it.
#[cold]
fn placed(
    types: &Tables,
    text: &[u8],
    failure: Failure,
    read: impl FnOnce(&mut Encoder<'_>) -> Done,
) -> Failure {
    let valid = failure.offset.and_then(|end| text.get(..end));
    let mut out = Vec::new();
    let cut = Cursor::new(valid.unwrap_or_default())
        .and_then(|cursor| read(&mut Encoder::new(types, cursor, &mut out)));
    match cut {
        Err(cut) if cut.rule == Rule::Syntax => Box::new(RequestError {
            path: cut.path,
            ..*failure
        }),
        // Another fault stands before it.
        Err(earlier) => earlier,
        Ok(()) => failure,
    }
}
