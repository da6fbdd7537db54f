//! Benchmarks: the transcoder beside crates for the same work, on the same texts, in one run; the
//! gateway beside other gateways of gRPC servers; and the events beside their engines.

pub mod codec;
pub mod corpus;
pub mod counting;
pub mod events;
pub mod gateways;
pub mod measure;
pub mod report;

mod clock;
