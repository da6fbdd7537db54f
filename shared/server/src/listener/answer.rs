//! The responses of a connection on their way out, and those that nobody reads.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use slab::Slab;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::activity::Running;
use rpc::error::Fault;
use rpc::lock::lock;

/// The responses that a connection has begun.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Slab<Arc<Mutex<State>>>>);

/// A response whose request runs until the body is dropped or given up.
pub(crate) struct Answer {
    state: Arc<Mutex<State>>,
    answers: Arc<Answers>,
    key: usize,
}

struct State {
    /// `None` once it was given up.
    source: Option<Source>,
    /// Whether its reader is still to be told so.
    is_given_up: bool,
    /// Whether it was asked for more and had nothing: then it is not the reader who keeps it.
    is_waiting: bool,
    /// Since when it is known that nobody has asked for more.
    unread_since: Option<Instant>,
}

/// A body that panics takes its connection with it, so nobody goes on with what it has left behind.
struct Source {
    body: Body,
    _running: Running,
}

// === impl Answers ===

impl Answers {
    pub(crate) fn begin(self: &Arc<Self>, body: Body, running: Running) -> Answer {
        let state = Arc::new(Mutex::new(State {
            source: Some(Source {
                body,
                _running: running,
            }),
            is_given_up: false,
            is_waiting: false,
            unread_since: None,
        }));
        Answer {
            key: lock(&self.0).insert(state.clone()),
            answers: self.clone(),
            state,
        }
    }

    /// Gives up what nobody has read for so long that two looks at it are this far apart.
    ///
    /// Whoever produces it stops: what it holds is not the reader's alone, as the windows of a connection to an upstream.
    pub(crate) fn give_up_unread(&self, timeout: Duration) {
        let now = Instant::now();
        let answers = lock(&self.0);
        let unread = answers.iter().filter_map(|(_, state)| {
            let mut state = lock(state);
            if state.is_waiting {
                return None;
            }
            let since = *state.unread_since.get_or_insert(now);
            if now - since < timeout {
                return None;
            }
            let source = state.source.take()?;
            state.is_given_up = true;
            Some(source)
        });
        let unread: Vec<Source> = unread.collect();
        drop(answers);
        if !unread.is_empty() {
            tracing::debug!(responses = unread.len(), "given up, as nobody reads them");
        }
    }
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = lock(&self.state);
        state.unread_since = None;
        let Some(source) = &mut state.source else {
            let is_first = std::mem::take(&mut state.is_given_up);
            return Poll::Ready(is_first.then(|| Err(unread())));
        };
        let polled = Pin::new(&mut source.body).poll_frame(context);
        state.is_waiting = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        let source = state.source.as_ref();
        source.map_or(!state.is_given_up, |source| source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let source = state.source.as_ref();
        source.map_or_else(SizeHint::default, |source| source.body.size_hint())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        drop(lock(&self.answers.0).try_remove(self.key));
    }
}

fn unread() -> Status {
    Fault::aborted("RESPONSE_UNREAD", "the response was not read for too long").into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::advance;
    use tokio_stream::StreamExt;

    use super::super::activity::Activity;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Notes that it was dropped.
    struct Held(Arc<AtomicBool>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn frames(count: usize, is_dropped: &Arc<AtomicBool>) -> Body {
        let held = Held(is_dropped.clone());
        let frame = move |_| {
            let _ = &held;
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
        };
        let endless = tokio_stream::iter(0..count).chain(tokio_stream::pending());
        Body::new(StreamBody::new(endless.map(frame)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_given_up_and_what_is_silent_is_not() {
        let (answers, activity) = (Arc::new(Answers::default()), Activity::new());
        let dropped = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let mut unread = answers.begin(frames(9, &dropped[0]), activity.begin());
        let mut silent = answers.begin(frames(1, &dropped[1]), activity.begin());
        let unasked = answers.begin(frames(1, &dropped[2]), activity.begin());
        assert!(unread.frame().await.is_some() && silent.frame().await.is_some());
        let more = tokio::time::timeout(TIMEOUT / 60, silent.frame()).await;
        assert!(more.is_err(), "it is not silent");
        let is_dropped = || dropped.each_ref().map(|one| one.load(Ordering::Relaxed));
        // The last look finds what was given up, and must not forget that its reader is still to be told.
        for step in 0..=5 {
            answers.give_up_unread(TIMEOUT);
            let is_late = step >= 4;
            assert_eq!(is_dropped(), [is_late, false, is_late], "step {step}");
            advance(TIMEOUT / 4).await;
        }
        let status = unread.frame().await.unwrap().unwrap_err();
        let reason = rpc::error::reason(&status);
        assert_eq!(reason.as_deref(), Some("RESPONSE_UNREAD"));
        assert!(unread.frame().await.is_none());
        drop((unread, silent, unasked));
        assert!(lock(&answers.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_served_to_the_end() {
        let (answers, activity) = (Arc::new(Answers::default()), Activity::new());
        let mut slow = answers.begin(frames(9, &Arc::default()), activity.begin());
        for _ in 0..9 {
            assert!(slow.frame().await.unwrap().is_ok());
            answers.give_up_unread(TIMEOUT);
            advance(TIMEOUT - Duration::from_secs(1)).await;
            answers.give_up_unread(TIMEOUT);
        }
    }
}
