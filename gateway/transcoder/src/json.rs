//! JSON text (RFC 8259): a strict pull reader over bytes, and the writers of strings and numbers.

mod cursor;
mod float;
mod number;
mod scan;
mod write;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Token};
pub(crate) use float::{put_double, put_float};
pub use number::Number;
pub(crate) use number::digits;
pub(crate) use write::{
    padded, put_base64, put_quoted_integer, put_signed, put_string, put_text, put_unsigned,
};
