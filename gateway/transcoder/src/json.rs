//! JSON text (RFC 8259): a strict pull reader over bytes, and the writers of strings and numbers.

mod cursor;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use cursor::{Cursor, Token, is_number};
pub(crate) use write::{put_base64, put_double, put_float, put_signed, put_string, put_unsigned};
