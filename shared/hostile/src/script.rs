//! Scripts: what a peer writes, and what it waits for in between.

use crate::frame::{Frame, kind};

/// Steps that are played one after the other. A script ends early when its connection does.
pub type Script = Vec<Step>;

/// The stream that a frame is written on.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// The stream of the call that the script answers; for clients, stream 1.
    Call,
    /// Stream 0.
    Connection,
    /// A stream this far from the call's.
    Beside(i32),
}

/// The last stream that a GOAWAY names.
#[derive(Clone, Copy, Debug)]
pub enum Last {
    /// This number.
    Is(u32),
    /// A stream this far from the call's.
    Beside(i32),
}

/// One thing that a peer does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes a frame.
    Frame {
        /// See [`kind`].
        kind: u8,
        /// See [`crate::flag`].
        flags: u8,
        /// The stream.
        on: On,
        /// At most 2^24 - 1 bytes.
        payload: Vec<u8>,
    },
    /// Writes GOAWAY.
    GoAway {
        /// The last stream that may have been processed.
        last: Last,
        /// See [`crate::code`].
        code: u32,
    },
    /// Writes these bytes as they are.
    Bytes(Vec<u8>),
    /// Plays these steps so many times.
    Repeat(usize, Script),
    /// Waits until the peer has read everything before (PING and its acknowledgement).
    Sync,
    /// Waits for the end of the request.
    AwaitEnd,
    /// Waits until the test opens the gate of the [`crate::Upstream`].
    Hold,
    /// Closes the connection in order: all that was written arrives.
    Close,
    /// Aborts the connection (TCP RST).
    Abort,
}

impl On {
    pub(crate) fn stream(self, call: u32) -> u32 {
        match self {
            Self::Call => call,
            Self::Connection => 0,
            Self::Beside(distance) => call.saturating_add_signed(distance),
        }
    }
}

impl Step {
    /// Returns the bytes that the step writes for the call on this stream, if writing is all that
    /// it does.
    pub(crate) fn bytes(&self, call: u32) -> Option<Vec<u8>> {
        let frame = match self {
            Self::Bytes(bytes) => return Some(bytes.clone()),
            Self::Frame {
                kind,
                flags,
                on,
                payload,
            } => Frame {
                kind: *kind,
                flags: *flags,
                stream: on.stream(call),
                payload: payload.clone(),
            },
            Self::GoAway { last, code } => {
                let last = match last {
                    Last::Is(last) => *last,
                    Last::Beside(distance) => call.saturating_add_signed(*distance),
                };
                Frame {
                    kind: kind::GOAWAY,
                    flags: 0,
                    stream: 0,
                    payload: [last.to_be_bytes(), code.to_be_bytes()].concat(),
                }
            }
            _ => return None,
        };
        Some(frame.encode())
    }
}
