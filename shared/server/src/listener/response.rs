//! The responses of a connection, and the abort of those that are not read.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use rpc::error::Fault;
use rpc::lock::lock;
use slab::Slab;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::activity::RunningRequest;

/// The responses in progress.
#[derive(Default)]
pub(crate) struct Responses(Mutex<Slab<Arc<Mutex<BodyState>>>>);

/// A response body, whose request runs until it is dropped or aborted.
pub(crate) struct ResponseBody {
    state: Arc<Mutex<BodyState>>,
    responses: Arc<Responses>,
    key: usize,
}

struct BodyState {
    /// `None` once it was aborted.
    source: Option<RunningBody>,
    /// Whether the reader still has to be told of the abort.
    is_aborted: bool,
    /// Whether it was polled and had nothing: then the reader is not the one who is late.
    is_waiting: bool,
    /// Since when it is known not to be polled.
    unread_since: Option<Instant>,
}

/// A panic of the body ends its connection, so an inconsistent state is never read.
struct RunningBody {
    body: Body,
    _running: RunningRequest,
}

// === impl Responses ===

impl Responses {
    pub(crate) fn begin(self: &Arc<Self>, body: Body, running: RunningRequest) -> ResponseBody {
        let state = Arc::new(Mutex::new(BodyState {
            source: Some(RunningBody {
                body,
                _running: running,
            }),
            is_aborted: false,
            is_waiting: false,
            unread_since: None,
        }));
        ResponseBody {
            key: lock(&self.0).insert(state.clone()),
            responses: self.clone(),
            state,
        }
    }

    /// Aborts responses that were not read for `timeout`, measured between two checks.
    ///
    /// Their producers stop: they hold shared resources, such as the window of a connection to an
    /// upstream.
    pub(crate) fn abort_unread(&self, timeout: Duration) {
        let now = Instant::now();
        let responses = lock(&self.0);
        let unread = responses.iter().filter_map(|(_, state)| {
            let mut state = lock(state);
            if state.is_waiting {
                return None;
            }
            let since = *state.unread_since.get_or_insert(now);
            if now - since < timeout {
                return None;
            }
            let source = state.source.take()?;
            state.is_aborted = true;
            Some(source)
        });
        let unread: Vec<RunningBody> = unread.collect();
        drop(responses);
        if !unread.is_empty() {
            tracing::debug!(count = unread.len(), "unread responses aborted");
        }
    }
}

// === impl ResponseBody ===

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = lock(&self.state);
        state.unread_since = None;
        let Some(source) = &mut state.source else {
            let is_first = std::mem::take(&mut state.is_aborted);
            return Poll::Ready(is_first.then(|| Err(unread())));
        };
        let polled = Pin::new(&mut source.body).poll_frame(context);
        state.is_waiting = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        let source = state.source.as_ref();
        source.map_or(!state.is_aborted, |source| source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let source = state.source.as_ref();
        source.map_or_else(SizeHint::default, |source| source.body.size_hint())
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        drop(lock(&self.responses.0).try_remove(self.key));
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

    /// Records that it was dropped.
    struct DropProbe(Arc<AtomicBool>);

    impl Drop for DropProbe {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn frames(count: usize, is_dropped: &Arc<AtomicBool>) -> Body {
        let held = DropProbe(is_dropped.clone());
        let frame = move |_| {
            let _ = &held;
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
        };
        let endless = tokio_stream::iter(0..count).chain(tokio_stream::pending());
        Body::new(StreamBody::new(endless.map(frame)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_given_up_and_what_is_silent_is_not() {
        let (responses, activity) = (Arc::new(Responses::default()), Activity::new());
        let dropped = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let mut unread = responses.begin(frames(9, &dropped[0]), activity.begin());
        let mut silent = responses.begin(frames(1, &dropped[1]), activity.begin());
        let unasked = responses.begin(frames(1, &dropped[2]), activity.begin());
        assert!(unread.frame().await.is_some() && silent.frame().await.is_some());
        let more = tokio::time::timeout(TIMEOUT / 60, silent.frame()).await;
        assert!(more.is_err(), "it is not silent");
        let is_dropped = || dropped.each_ref().map(|one| one.load(Ordering::Relaxed));
        // The last check sees an aborted response, and must not forget to tell its reader.
        for step in 0..=5 {
            responses.abort_unread(TIMEOUT);
            let is_late = step >= 4;
            assert_eq!(is_dropped(), [is_late, false, is_late], "step {step}");
            advance(TIMEOUT / 4).await;
        }
        let status = unread.frame().await.unwrap().unwrap_err();
        let reason = rpc::error::reason(&status);
        assert_eq!(reason.as_deref(), Some("RESPONSE_UNREAD"));
        assert!(unread.frame().await.is_none());
        drop((unread, silent, unasked));
        assert!(lock(&responses.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_served_to_the_end() {
        let (responses, activity) = (Arc::new(Responses::default()), Activity::new());
        let mut slow = responses.begin(frames(9, &Arc::default()), activity.begin());
        for _ in 0..9 {
            assert!(slow.frame().await.unwrap().is_ok());
            responses.abort_unread(TIMEOUT);
            advance(TIMEOUT - Duration::from_secs(1)).await;
            responses.abort_unread(TIMEOUT);
        }
    }
}
