//! The generated contracts of the order-to-cash mesh: a module per package, `METHODS` and
//! `FILE_DESCRIPTOR_SET`.

// Generated code: a contract need not comment every field, and lints of style are for people.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]

include!(concat!(env!("OUT_DIR"), "/protos.rs"));
