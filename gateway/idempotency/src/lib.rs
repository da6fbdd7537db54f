#![doc = include_str!("../README.md")]

mod key;
mod metrics;
mod record;
mod replays;
mod store;

pub use key::{HEADER, Malformed, Request, header_key};
pub use replays::{KEY_REUSED, Replays, Replied, Settings};
