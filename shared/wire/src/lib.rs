#![doc = include_str!("../README.md")]

mod chunk;
mod error;
mod put;
mod reader;

pub use chunk::{
    CHUNK, chunk, equal, first_bits, put_prefix, put_wide_word, put_window, put_word, short_word,
};
pub use error::{WireError, prepend};
pub use put::{
    Tag, WireType, close, close_wide, open, open_wide, put_any_varint, put_delimited, put_varint,
    unzigzag, varint_len, zigzag,
};
pub use reader::{Read, Reader, TOO_DEEP, TRUNCATED};

/// Levels of nested messages or groups that any reader of this workspace accepts, the outermost one
/// counted: the recursion limit of the protobuf runtimes, and small enough for any stack.
pub const MAX_DEPTH: usize = 100;
