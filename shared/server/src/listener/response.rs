//! The responses of a connection: the abort of those that are not read, and the memory of unread
//! ones.

use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use ::admission::{Evict, Unread};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use rpc::error::Fault;
use rpc::lock::lock;
use slab::Slab;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::activity::RunningRequest;

/// The largest piece of a frame that is written at once. The rest waits here, where it is counted,
/// until the client has room for it.
const PIECE_BYTES: usize = 16 * 1024;

/// The responses in progress.
#[derive(Default)]
pub(crate) struct Responses(Mutex<Slab<Arc<SharedBody>>>);

/// A response body, whose request runs until it is dropped or aborted.
pub(crate) struct ResponseBody {
    state: Arc<SharedBody>,
    responses: Arc<Responses>,
    key: usize,
}

/// The state that a body shares with those who may abort it.
struct SharedBody(Mutex<BodyState>);

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
    /// The rest of a frame of the body.
    rest: Bytes,
    unread: Option<Unread>,
    /// Whether the response is counted as unread.
    is_counted: bool,
    _running: RunningRequest,
}

// === impl Responses ===

impl Responses {
    pub(crate) fn begin(
        self: &Arc<Self>,
        body: Body,
        running: RunningRequest,
        unread: Option<Unread>,
    ) -> ResponseBody {
        let holding = unread.as_ref().map(|unread| unread.holding.clone());
        let state = Arc::new(SharedBody(Mutex::new(BodyState {
            source: Some(RunningBody {
                body,
                rest: Bytes::new(),
                is_counted: unread.is_some(),
                unread,
                _running: running,
            }),
            is_aborted: false,
            is_waiting: false,
            unread_since: None,
        })));
        if let Some(holding) = holding {
            let weak: Weak<dyn Evict> = Arc::downgrade(&state) as _;
            holding.answer(weak);
        }
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
            let mut state = lock(&state.0);
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

impl Evict for SharedBody {
    /// Aborts the response if nobody reads it now; else its reader finds out.
    fn evict(&self) {
        let Ok(mut state) = self.0.try_lock() else {
            return;
        };
        if let Some(source) = state.source.take() {
            state.is_aborted = true;
            drop(state);
            drop(source);
        }
    }
}

// === impl RunningBody ===

impl RunningBody {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.rest.is_empty() {
            let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let polled = polled.map_ok(|frame| self.first_piece(frame));
        match &polled {
            Poll::Pending => self.is_read(),
            Poll::Ready(Some(Ok(_))) if !self.is_end_stream() => {
                if let Err(status) = self.is_unread() {
                    return Poll::Ready(Some(Err(status)));
                }
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn first_piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PIECE_BYTES => {
                self.rest = data.split_off(PIECE_BYTES);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }

    /// Notes that the client waits for more.
    fn is_read(&mut self) {
        if let Some(unread) = self.unread.as_ref().filter(|_| self.is_counted) {
            unread.holding.read();
            self.is_counted = false;
        }
    }

    /// Notes that there may be more than the client has asked for.
    fn is_unread(&mut self) -> Result<(), Status> {
        if let Some(unread) = self.unread.as_ref().filter(|_| !self.is_counted) {
            unread.holding.unread(unread.window)?;
            self.is_counted = true;
        }
        Ok(())
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match (self.rest.len() as u64, hint.exact()) {
            (0, _) => hint,
            (rest, Some(exact)) => SizeHint::with_exact(rest + exact),
            (_, None) => SizeHint::default(),
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
        let mut state = lock(&self.state.0);
        state.unread_since = None;
        let Some(source) = &mut state.source else {
            let is_first = std::mem::take(&mut state.is_aborted);
            return Poll::Ready(is_first.then(|| Err(unread())));
        };
        let polled = source.poll_frame(context);
        state.is_waiting = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state.0);
        let source = state.source.as_ref();
        source.map_or(!state.is_aborted, RunningBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state.0);
        let source = state.source.as_ref();
        source.map_or_else(SizeHint::default, RunningBody::size_hint)
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
        let mut unread = responses.begin(frames(9, &dropped[0]), activity.begin(), None);
        let mut silent = responses.begin(frames(1, &dropped[1]), activity.begin(), None);
        let unasked = responses.begin(frames(1, &dropped[2]), activity.begin(), None);
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

    #[tokio::test]
    async fn what_waits_for_its_reader_is_counted() {
        const HELD: usize = 1 << 20;
        let budget = ::admission::Budget::new(HELD);
        let holding = budget.admit(&::admission::Client::Unknown, 0).unwrap();
        let held = || budget.status().held;
        let (base, window) = (held(), 100_000);
        let counted = held() + window - ::admission::REQUEST_BYTES;
        holding.unread(window).unwrap();
        let unread = Unread { holding, window };
        let (responses, activity) = (Arc::new(Responses::default()), Activity::new());
        let large = Frame::data(Bytes::from(vec![7; 2 * PIECE_BYTES + 1]));
        let source = tokio_stream::iter([Ok::<_, Status>(large)]).chain(tokio_stream::pending());
        let source = Body::new(StreamBody::new(source));
        let mut body = responses.begin(source, activity.begin(), Some(unread));
        for expected in [PIECE_BYTES, PIECE_BYTES, 1] {
            let piece = body.frame().await.unwrap().unwrap();
            assert_eq!(piece.into_data().unwrap().len(), expected);
            assert_eq!(held(), counted);
        }
        let more = tokio::time::timeout(Duration::ZERO, body.frame()).await;
        assert!(more.is_err());
        assert_eq!(held(), base);
        drop(body);
        assert_eq!(held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_served_to_the_end() {
        let (responses, activity) = (Arc::new(Responses::default()), Activity::new());
        let mut slow = responses.begin(frames(9, &Arc::default()), activity.begin(), None);
        for _ in 0..9 {
            assert!(slow.frame().await.unwrap().is_ok());
            responses.abort_unread(TIMEOUT);
            advance(TIMEOUT - Duration::from_secs(1)).await;
            responses.abort_unread(TIMEOUT);
        }
    }
}
