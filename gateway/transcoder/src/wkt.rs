//! Well-known types whose JSON form is one string: text to message content and back (ProtoJSON).

mod field_mask;
mod time;

pub(crate) use field_mask::{PATHS_TAG, put_field_mask, write_field_mask};
pub(crate) use time::{put_duration, put_timestamp, write_duration, write_timestamp};
