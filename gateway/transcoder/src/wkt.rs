//! Well-known types whose JSON form is one string: text to message content and back (ProtoJSON).

mod field_mask;
mod time;

pub(crate) use field_mask::{PATHS_TAG, put_field_mask, write_field_mask};
pub(crate) use time::{put_duration, put_timestamp, write_duration, write_timestamp};

use crate::{
    plan::{MessageId, Shape, Types},
    scalar::{self, Put},
};

/// Appends the content of a message that a path or a query can carry as text.
pub(crate) fn put_text(types: &Types, id: MessageId, text: &str, out: &mut Vec<u8>) -> Put {
    let plan = types.message(id);
    match plan.shape {
        Shape::Timestamp => put_timestamp(text, out)?,
        Shape::Duration => put_duration(text, out)?,
        Shape::FieldMask => put_field_mask(text, out)?,
        Shape::Wrapper => {
            let value = &plan.fields[0];
            let start = out.len();
            value.tag.put(out);
            if scalar::put_text(types, value.kind, text, out)? {
                out.truncate(start);
            }
        }
        _ => return Err("a message can't be written as one parameter"),
    }
    Ok(false)
}
