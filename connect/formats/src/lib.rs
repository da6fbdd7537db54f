#![doc = include_str!("../README.md")]

mod error;
mod json;
pub mod limits;
mod reader;
mod settings;
mod tables;
mod text;
mod unpack;
mod value;
mod xml;

pub use error::{Flaw, Place, Position, Refusal, rules};
pub use reader::Reader;
pub use settings::{Kind, Settings, SettingsError};
pub use value::{Record, Value};
