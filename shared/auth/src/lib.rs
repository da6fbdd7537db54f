#![doc = include_str!("../README.md")]

mod identity;

pub use identity::{Credential, Identity};
