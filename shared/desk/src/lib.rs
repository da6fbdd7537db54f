#![doc = include_str!("../README.md")]

mod acts;
mod convert;
mod desk;
mod error;
mod payloads;
mod pb;
mod rebuild;
mod sagas;

pub use acts::MIGRATIONS;
pub use desk::Desk;
pub use rebuild::rebuild;
