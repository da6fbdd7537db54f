#![doc = include_str!("../README.md")]

mod acts;
mod convert;
mod desk;
mod error;
mod payloads;
mod pb;

pub use acts::MIGRATIONS;
pub use desk::Desk;
