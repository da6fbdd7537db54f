#![doc = include_str!("../README.md")]

mod answer;
mod cache;
pub mod codec;
mod directives;
mod flights;
mod key;
mod listener;
mod metrics;
mod second;
mod store;

pub use answer::{Answer, Served};
pub use cache::{Cache, NOT_CACHED, Settings};
pub use key::Question;
pub use listener::listen;
