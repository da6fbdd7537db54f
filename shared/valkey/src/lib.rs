#![doc = include_str!("../README.md")]

mod connection;
mod connector;
mod error;
mod link;
mod settings;

pub use connection::Valkey;
pub use connector::Connector;
pub use error::Error;
/// The commands, scripts and values of the client library.
pub use redis;
pub use settings::Settings;
