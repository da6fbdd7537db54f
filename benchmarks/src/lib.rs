//! What is measured, and against whom: the transcoder beside the crates that do the same work, on the same texts, in one run; and the
//! gateway beside those that front gRPC servers too.

pub mod codec;
pub mod corpus;
pub mod counting;
pub mod gateways;
pub mod measure;
pub mod report;

mod clock;
