//! The table of what an upstream may send, and the codes that a caller may get for it.

mod connections;
mod fields;
mod frames;
mod illegal;
mod malformed;

use hostile::{Options, Script, grpc};

use crate::protocol::Extra;
use crate::support::{BAD, response};

/// gRPC codes by the name of their rule.
pub(crate) const OK: &[i32] = &[0];
/// A response that breaks a rule: INTERNAL, or UNKNOWN where clients of gRPC make that of it.
pub(crate) const BROKEN: &[i32] = &[2, 13];
/// A connection that is gone.
pub(crate) const UNAVAILABLE: &[i32] = &[14];
/// A connection that this side has to close for an error of the upstream's.
pub(crate) const BROKEN_OR_GONE: &[i32] = &[2, 13, 14];

/// One script and its right answers.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) script: Script,
    pub(crate) options: Options,
    /// Codes of a call with one response.
    pub(crate) unary: &'static [i32],
    /// Codes of a call with a stream of responses.
    pub(crate) stream: &'static [i32],
    /// Whether a response that has begun may be aborted, because a message has.
    pub(crate) may_abort: bool,
    pub(crate) extra: Extra,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, script: Script, codes: &'static [i32]) -> Self {
        Self {
            name: name.into(),
            script,
            options: Options::default(),
            unary: codes,
            stream: codes,
            may_abort: false,
            extra: Extra::default(),
        }
    }

    /// A call with a stream of responses has other codes.
    fn streams(mut self, codes: &'static [i32]) -> Self {
        self.stream = codes;
        self
    }

    fn may_abort(mut self) -> Self {
        self.may_abort = true;
        self
    }
}

/// The message of a right answer, in its frame.
fn message() -> Vec<u8> {
    grpc::message(&response(BAD))
}

/// All scripts.
pub(crate) fn all() -> Vec<Row> {
    [
        fields::heads(),
        fields::statuses(),
        fields::texts(),
        illegal::all(),
        frames::messages(),
        frames::cuts(),
        frames::order(),
        malformed::all(),
        connections::resets(),
        connections::departures(),
        connections::closes(),
        connections::settings(),
        connections::floods(),
        connections::windows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
