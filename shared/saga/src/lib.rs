#![doc = include_str!("../README.md")]

mod attempt;
mod definition;
pub mod desk;
mod instance;
mod metrics;
mod outline;
mod runner;
mod serve;
mod settings;
mod store;

pub use attempt::Saga;
pub use definition::{Answer, Definition, FAILED, Next, Outcome, Stage, Step, is_final};
pub use instance::{Instance, Move};
pub use outline::Outline;
pub use runner::{Handle, Runner};
pub use serve::Sagas;
pub use settings::Settings;
pub use store::{MIGRATIONS, State, begin, wake};
