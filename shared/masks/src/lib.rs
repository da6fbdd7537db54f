#![doc = include_str!("../README.md")]

mod masks;

pub use masks::{Mask, Masks};
