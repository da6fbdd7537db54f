//! Benchmarks: the transcoder beside crates for the same work, on the same texts, in one run; and
//! the gateway beside other gateways of gRPC servers.

pub mod codec;
pub mod corpus;
pub mod counting;
pub mod gateways;
pub mod measure;
pub mod report;

mod clock;
