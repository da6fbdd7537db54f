#![doc = include_str!("../README.md")]

mod channel;
mod message;
mod offer;
mod settings;
mod subject;

pub use channel::Channel;
pub use offer::{Error, offer};
pub use settings::Settings;
