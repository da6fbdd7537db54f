#![doc = include_str!("../README.md")]

mod bus;
mod consumer;
mod delivery;
mod outbox;
pub mod parking;
mod rebuild;
mod relay;
mod serve;
pub mod stopped;

pub use bus::stream::name as stream_name;
pub use bus::{Bus, connect};
pub use consumer::{Consumer, HandlerError};
pub use delivery::Lag;
pub use facts::Error;
pub use facts::Settings;
pub use facts::envelope::MAX_PAYLOAD_BYTES;
pub use facts::subject::MAX_KEY_BYTES;
pub use outbox::{Facts, MIGRATIONS, publish, publish_all};
pub use serve::serve;
