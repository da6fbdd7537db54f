//! JSON text (RFC 8259): a strict pull reader over bytes, and the writers of strings and numbers.

mod cursor;
mod key;
mod number;
mod scan;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use cursor::{Cursor, Token};
pub(crate) use key::{Key, Literal};
pub(crate) use number::Number;
pub(crate) use write::{
    put_base64, put_double, put_float, put_padded, put_signed, put_string, put_text, put_unsigned,
    two_digits,
};
