#![doc = include_str!("../README.md")]

mod columns;
mod database;
mod error;
mod guard;
mod health;
mod idempotency;
mod migrations;
mod outage;
mod schema;
mod settings;
mod text;

pub use database::Database;
pub use error::Error;
pub use guard::Guard;
pub use idempotency::{Insert, InsertError, idempotent};
pub use migrations::Migrations;
pub use outage::{fault, is_final, is_outage};
pub use settings::Settings;

#[doc(hidden)]
pub use sqlx;
