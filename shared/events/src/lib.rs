#![doc = include_str!("../README.md")]

mod bus;
mod consumer;
mod delivery;
mod envelope;
mod error;
mod outbox;
pub mod parking;
mod rebuild;
mod relay;
mod serve;
mod settings;
pub mod stopped;

pub use bus::stream::name as stream_name;
pub use bus::{Bus, connect};
pub use consumer::{Consumer, HandlerError};
pub use delivery::Lag;
pub use envelope::subject::MAX_KEY_BYTES;
pub use error::Error;
pub use outbox::{Facts, MAX_PAYLOAD_BYTES, MIGRATIONS, publish, publish_all};
pub use serve::serve;
pub use settings::Settings;
