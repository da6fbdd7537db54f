#![doc = include_str!("../README.md")]

mod broker;
mod chain;
mod metrics;
mod pb;
mod reader;
mod settings;
mod trail;
mod writer;

pub use chain::{ChainReport, ChainState, Checker, Finding, Problem, Report};
pub use pb::mesh::audit::v1::{Began, Call, Caller, Denial, Ended, Entry, Link, Outcome, entry};
pub use reader::{ReadError, entries, verify};
pub use settings::{Settings, WhenFull};
pub use trail::{NotRecorded, Ticket, Trail};
