#![doc = include_str!("../README.md")]

pub mod envelope;
pub mod error;
pub mod settings;
pub mod subject;

pub use error::Error;
pub use settings::Settings;
