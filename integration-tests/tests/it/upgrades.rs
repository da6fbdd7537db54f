//! Releases that follow each other on one database, forward and back.

mod programs;
mod rollbacks;
mod rolling;
mod schema;
mod traffic;

pub(crate) use programs::program;
