//! Encodes the messages of a body, of which one may wait for the type of its Any.

use std::task::{Context, Poll, ready};

use learning::TypeLookups;
use transcoder::Content;
use transcoder::stream::Message;

use super::MessageEncoder;
use crate::failure::Failure;

/// An encoder that holds at most one message back.
pub(super) struct PatientEncoder {
    encoder: MessageEncoder,
    content: Content,
    lookups: TypeLookups,
    postponed: Option<Postponed>,
}

/// A message that is encoded again once a type is known.
struct Postponed {
    bytes: Vec<u8>,
    index: u64,
    offset: u64,
}

// === impl PatientEncoder ===

impl PatientEncoder {
    pub(super) fn new(encoder: MessageEncoder, content: Content) -> Self {
        Self {
            lookups: encoder.lookups(),
            encoder,
            content,
            postponed: None,
        }
    }

    /// Whether a message is held back; no other may be put before it.
    pub(super) fn is_waiting(&self) -> bool {
        self.postponed.is_some()
    }

    /// Appends one message as a frame, or holds it back.
    pub(super) fn put(
        &mut self,
        message: &Message<'_>,
        frames: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match self.encoder.put(self.content, message, frames) {
            Err(failure) if self.lookups.begin(&failure) => {
                self.postponed = Some(Postponed {
                    bytes: message.bytes.to_vec(),
                    index: message.index,
                    offset: message.offset,
                });
                Ok(())
            }
            put => {
                self.lookups.next_message();
                put
            }
        }
    }

    /// Appends the message that is held back, once there is an answer about its type.
    pub(super) fn poll_postponed(
        &mut self,
        context: &mut Context<'_>,
        frames: &mut Vec<u8>,
    ) -> Poll<Result<(), Failure>> {
        ready!(self.lookups.poll(context));
        let Some(postponed) = self.postponed.take() else {
            return Poll::Ready(Ok(()));
        };
        let message = Message {
            bytes: &postponed.bytes,
            index: postponed.index,
            offset: postponed.offset,
        };
        Poll::Ready(self.put(&message, frames))
    }
}
