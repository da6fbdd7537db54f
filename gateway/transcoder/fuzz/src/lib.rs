//! Fuzz targets of the transcoder: each compares it with an oracle that is written here, simply and
//! without a look at its code.
//!
//! A target takes any bytes and panics when the transcoder is wrong. `cargo xtask fuzz` runs them
//! under libFuzzer; `cargo test` replays the seeds and everything that was ever found.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how a target reports.

mod json_to_wire;
mod message;
mod path;
mod percent;
mod query;
mod routing;
mod splitters;
mod template;
mod text;
mod wire_to_json;
mod world;

pub use json_to_wire::json_to_wire;
pub use path::path;
pub use query::query;
pub use splitters::splitters;
pub use template::template;
pub use wire_to_json::wire_to_json;

/// A target: any bytes in, a panic out when the transcoder is wrong.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("template", template),
    ("path", path),
    ("query", query),
    ("json_to_wire", json_to_wire),
    ("wire_to_json", wire_to_json),
    ("splitters", splitters),
];
