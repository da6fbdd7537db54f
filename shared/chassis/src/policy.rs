//! What a contract or a caller asks of a call, enforced around the handler.

pub mod deadline;
pub mod stalled;
pub(crate) mod torn;
pub(crate) mod validation;
