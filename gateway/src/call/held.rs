//! The memory that the messages of a request hold until they are sent.

use admission::{Excess, Holding, Part};
use http::Extensions;

/// The memory that a request body holds.
pub(crate) enum HeldBody {
    /// All that has arrived of one message, until the call is answered.
    Message(Holding),
    /// The beginning of a message in a stream, and the window of data that nobody has read.
    Stream { part: Part, window: usize },
}

/// Returns the holding of a request, by which the memory for it is counted.
pub(crate) fn holding(extensions: &Extensions) -> Holding {
    extensions.get().cloned().unwrap_or_default()
}

// === impl HeldBody ===

impl HeldBody {
    /// Counts a stream, of which the client may be ahead by a window of so many bytes.
    pub(crate) fn stream(holding: &Holding, window: usize) -> Self {
        Self::Stream {
            part: holding.part(),
            window,
        }
    }

    /// Notes that bytes have arrived, and that so many are kept. Unless these are the last, there
    /// may be a window of others behind them.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn arrived(
        &mut self,
        bytes: usize,
        kept: usize,
        is_last: bool,
    ) -> Result<(), Excess> {
        match self {
            Self::Message(holding) => holding.receive(bytes),
            Self::Stream { part, .. } if is_last => part.set(kept),
            Self::Stream { part, window } => part.set(kept.max(*window)),
        }
    }

    /// Notes that nothing more has arrived, and that so many bytes are kept.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn waits(&mut self, kept: usize) -> Result<(), Excess> {
        match self {
            Self::Message(_) => Ok(()),
            Self::Stream { part, .. } => part.set(kept),
        }
    }
}
