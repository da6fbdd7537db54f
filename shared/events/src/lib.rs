//! Durable facts: outbox, relay, JetStream, inbox, parking.
//!
//! The promise is at-least-once delivery, exactly-once effect in Postgres, and order per key. A fact is inserted in
//! the business transaction ([`publish`]); the relay moves it to the stream of its context ([`Bus::run_relay`]); a
//! consumer applies it in one transaction with its watermark ([`Bus::run_consumer`]); what cannot be applied is set
//! aside with all that follows it on the same key ([`parking`]).

mod backoff;
mod bus;
mod consumer;
mod crash;
mod envelope;
mod error;
mod outbox;
pub mod parking;
mod relay;
mod settings;
mod stream;
mod subject;
mod trace;

pub use bus::{Bus, connect};
pub use consumer::{Consumer, HandlerError};
pub use crash::set_crash_hook;
pub use error::Error;
pub use outbox::{MAX_PAYLOAD_BYTES, migrate, publish};
pub use settings::Settings;
pub use subject::{LANES, MAX_KEY_BYTES};
