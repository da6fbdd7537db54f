//! Conversions of messages whose Anys hold types that are not known: each is tried again once the
//! type is learned.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::timeout;
use transcoder::{RequestError, WireError};

use crate::types::TypeSource;

/// Types that are learned for one message.
const MAX_TYPES: usize = 16;

/// The longest that an error waits for the types of its details.
const DETAILS_TIME: Duration = Duration::from_secs(4);

/// An error that may come from a type which is not known.
pub trait MissingType {
    /// Returns the full name of the type.
    fn missing_type(&self) -> Option<&str>;
}

/// The lookups for the messages of one call.
pub struct TypeLookups {
    source: Option<Arc<TypeSource>>,
    /// Types that may still be learned for this message.
    left: usize,
    pending: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

/// Converts a message, again after each type that it lacked and `source` has.
///
/// # Errors
/// That of the last conversion.
pub async fn convert<T, E: MissingType>(
    source: impl FnOnce() -> Option<Arc<TypeSource>>,
    mut convert: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut outcome = convert();
    if let Err(error) = &outcome
        && error.missing_type().is_some()
    {
        let mut lookups = TypeLookups::new(source());
        while let Err(error) = &outcome
            && lookups.begin(error)
        {
            poll_fn(|context| lookups.poll(context)).await;
            outcome = convert();
        }
    }
    outcome
}

// === impl TypeSource ===

impl TypeSource {
    /// Learns the types that are missing, and those that are missing in them; within bounds, as
    /// every error can be shown without its details.
    pub async fn learn_all(&self, missing: impl Fn() -> Vec<Box<str>>) {
        let learning = async {
            let mut left = MAX_TYPES;
            loop {
                let mut is_learned = false;
                for name in missing() {
                    let Some(fewer) = left.checked_sub(1) else {
                        return;
                    };
                    left = fewer;
                    is_learned |= self.learn(&name).await;
                }
                if !is_learned {
                    return;
                }
            }
        };
        let _: Result<(), _> = timeout(DETAILS_TIME, Box::pin(learning)).await;
    }
}

// === impl TypeLookups ===

impl TypeLookups {
    /// Learns from this source, or nothing.
    pub fn new(source: Option<Arc<TypeSource>>) -> Self {
        Self {
            source,
            left: MAX_TYPES,
            pending: None,
        }
    }

    /// Begins to learn the type that a conversion lacked; returns whether to convert again after
    /// that.
    pub fn begin(&mut self, error: &impl MissingType) -> bool {
        let (Some(name), Some(source)) = (error.missing_type(), &self.source) else {
            return false;
        };
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        let (source, name) = (source.clone(), name.to_owned());
        self.pending = Some(Box::pin(async move { source.learn(&name).await }));
        true
    }

    /// Waits for the type; ready at once where none is being learned.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pending) = &mut self.pending {
            let is_learned = ready!(pending.as_mut().poll(context));
            self.pending = None;
            if !is_learned {
                // Converted again, the message fails for good.
                self.left = 0;
            }
        }
        Poll::Ready(())
    }

    /// Begins the next message.
    pub fn next_message(&mut self) {
        self.left = MAX_TYPES;
    }
}

// === impl MissingType ===

impl MissingType for RequestError {
    fn missing_type(&self) -> Option<&str> {
        self.missing_type.as_deref()
    }
}

impl MissingType for WireError {
    fn missing_type(&self) -> Option<&str> {
        self.missing_type.as_deref()
    }
}
