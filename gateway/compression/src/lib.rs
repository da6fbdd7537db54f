#![doc = include_str!("../README.md")]

mod bodies;
mod codec;
mod coding;
mod negotiation;

pub use bodies::{CompressedBody, DecompressedBody};
pub use codec::{Undecodable, compress, decompress};
pub use coding::{Coding, Levels, is_worthwhile};
pub use negotiation::negotiate;
