#![doc = include_str!("../README.md")]

mod huffman;
mod primitives;
mod table;

pub use primitives::{read_integer, read_string, write_integer, write_string};
pub use table::STATIC_TABLE;
