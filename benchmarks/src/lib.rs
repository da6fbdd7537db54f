//! What is measured, and against whom: the transcoder beside the crates that do the same work, on the same texts, in one run.

pub mod codec;
pub mod corpus;
pub mod counting;
pub mod measure;
pub mod report;

mod clock;
