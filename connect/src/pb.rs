//! The generated contract.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    dead_code,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/protos.rs"));
