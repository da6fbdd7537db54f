//! Gathers what the streams of an HTTP/2 connection have to send, so that it leaves in one write.

use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection is woken by each of its streams. A runtime that runs it at once would have it write the frames of one stream at a
/// time, and a write costs more than all else that a small call takes.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    has_waited: bool,
}

impl Gather {
    /// Polls the connection, each time it is woken, behind the tasks that are ready to run already.
    pub(crate) fn poll<F: Future>(
        &mut self,
        connection: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.has_waited = !self.has_waited;
        if self.has_waited {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        connection.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_connection_runs_behind_the_streams_that_are_ready() {
        let sent = Arc::new(AtomicUsize::new(0));
        let seen = sent.clone();
        let mut gather = Gather::default();
        // What is woken last runs first in its runtime, hence the other order.
        let connection = tokio::spawn(std::future::poll_fn(move |context| {
            let flush = std::future::ready(seen.load(Ordering::Relaxed));
            gather.poll(Pin::new(&mut { flush }), context)
        }));
        for _ in 0..5 {
            let sent = sent.clone();
            tokio::spawn(async move { sent.fetch_add(1, Ordering::Relaxed) });
        }
        assert_eq!(connection.await.unwrap(), 5);
    }
}
