#![doc = include_str!("../README.md")]

mod aggregate;
mod error;
mod event;
mod generation;
mod horizon;
mod projection;
mod runner;
mod store;

pub use aggregate::{Aggregate, Root};
pub use error::{Error, Place, Problem};
pub use event::{Event, EventType, Stored, Upcast};
pub use generation::{Generation, Status, progress};
pub use projection::{Projection, rebuild};
pub use runner::{Behind, Handle, Runner, serve};
pub use store::{Entry, MIGRATIONS, append, latest, load, record};
