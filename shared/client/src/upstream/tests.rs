//! Several, slow, unhealthy and limited peers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::join_all;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::*;
use crate::testing::{GET, METHODS, PUT, call};

mod abandoned;
mod early;
mod unread;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// `text = "ok"`, and `status = SERVING` or `NOT_SERVING`, as frames.
const OK: &[u8] = b"\0\0\0\0\x04\x0a\x02ok";
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
const NOT_SERVING: &[u8] = b"\0\0\0\0\x02\x08\x02";

/// A server that answers a call per permit.
struct Peer {
    address: SocketAddr,
    state: Arc<State>,
    resets: mpsc::UnboundedReceiver<Reason>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    connections: AtomicUsize,
    calls: AtomicUsize,
    is_well: AtomicBool,
    /// Whether connections are closed at once, and how many were.
    is_closed: AtomicBool,
    turned_away: AtomicUsize,
    /// Whether responses begin before they have a permit.
    begins_early: AtomicBool,
    permits: Semaphore,
    resets: mpsc::UnboundedSender<Reason>,
}

impl Peer {
    async fn start(streams_max: u32, permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, resets) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            connections: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            is_well: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            turned_away: AtomicUsize::new(0),
            begins_early: AtomicBool::new(false),
            permits: Semaphore::new(permits),
            resets: sender,
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if shared.is_closed.load(Ordering::SeqCst) {
                    shared.turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = shared.clone();
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    builder.max_concurrent_streams(streams_max);
                    let Ok(mut connection) = builder.handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, response))) = connection.accept().await {
                        tokio::spawn(state.clone().answer(request, response));
                    }
                });
            }
        });
        Self {
            address,
            state,
            resets,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have arrived.
    async fn has_taken(&self, count: usize) {
        eventually("calls arrive", || match self.calls() {
            calls if calls == count => Ok(()),
            calls => Err(calls),
        })
        .await;
    }

    fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl State {
    async fn answer(self: Arc<Self>, request: Request<RecvStream>, mut to: SendResponse<Bytes>) {
        let head = Response::builder().header("content-type", "application/grpc");
        let mut head = Some(head.body(()).unwrap());
        let mut body: Option<SendStream<Bytes>> = None;
        let message = if request.uri().path() == HEALTH {
            match self.is_well.load(Ordering::SeqCst) {
                true => SERVING,
                false => NOT_SERVING,
            }
        } else {
            if self.begins_early.load(Ordering::SeqCst) {
                body = head
                    .take()
                    .and_then(|head| to.send_response(head, false).ok());
            }
            self.calls.fetch_add(1, Ordering::SeqCst);
            tokio::select! {
                permit = self.permits.acquire() => permit.unwrap().forget(),
                reset = std::future::poll_fn(|context| match &mut body {
                    Some(body) => body.poll_reset(context),
                    None => to.poll_reset(context),
                }) => {
                    return drop(reset.map(|reason| self.resets.send(reason)));
                }
            }
            OK
        };
        if let Some(head) = head {
            body = to.send_response(head, false).ok();
        }
        let Some(mut body) = body else {
            return;
        };
        let _ = body.send_data(Bytes::from_static(message), false);
        let trailers = [("grpc-status", "0")].map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let _ = body.send_trailers(trailers.into_iter().collect());
    }
}

fn upstream(peers: &[&Peer], client: ClientSettings) -> Upstream {
    let urls = peers.iter().map(|peer| format!("http://{}", peer.address));
    let settings = UpstreamSettings {
        name: "peers".to_owned(),
        endpoints: urls.collect(),
        client,
        ..UpstreamSettings::default()
    };
    Upstream::new(settings, "peers", METHODS).unwrap()
}

/// Starts a call in a task.
fn ask(upstream: &Upstream) -> JoinHandle<Result<String, Status>> {
    let upstream = upstream.clone();
    tokio::spawn(async move { call(&upstream, PUT).await })
}

fn unchecked() -> ClientSettings {
    ClientSettings {
        health_interval_ms: 0,
        ..ClientSettings::default()
    }
}

/// Waits until `check` holds, and panics with the last observation.
async fn eventually<T: std::fmt::Debug>(what: &str, check: impl Fn() -> Result<(), T>) {
    let limit = Instant::now() + Duration::from_secs(20);
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while let Err(seen) = check() {
        assert!(Instant::now() < limit, "{what}: last saw {seen:?}");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_unary_call_without_a_deadline_is_not_waited_for_for_ever() {
    let peer = Peer::start(100, 0).await;
    let settings = ClientSettings {
        unanswered_timeout_ms: 50,
        ..ClientSettings::default()
    };
    let url = format!("http://{}", peer.address);
    let upstream = Upstream::connect_lazy(&url, &settings, METHODS).unwrap();
    let status = call(&upstream, PUT).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(peer.calls(), 1);
}

#[tokio::test]
async fn streams_beyond_the_limit_of_the_peer_take_another_connection_up_to_the_bound() {
    let peer = Peer::start(2, 0).await;
    let client = ClientSettings {
        max_connections: 2,
        ..unchecked()
    };
    let upstream = upstream(&[&peer], client);
    let calls: Vec<_> = (0..5).map(|_| ask(&upstream)).collect();
    peer.has_taken(4).await;
    peer.state.permits.add_permits(5);
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap().unwrap(), "ok");
    }
    assert_eq!((peer.calls(), peer.connections()), (5, 2));
}

#[tokio::test]
async fn a_call_that_waits_for_a_stream_tries_to_connect_again() {
    let peer = Peer::start(1, 0).await;
    let client = ClientSettings {
        max_connections: 2,
        ..unchecked()
    };
    let upstream = upstream(&[&peer], client);
    let first = ask(&upstream);
    peer.has_taken(1).await;
    peer.state.is_closed.store(true, Ordering::SeqCst);
    let second = ask(&upstream);
    eventually("a connection is refused", || {
        match peer.state.turned_away.load(Ordering::SeqCst) {
            0 => Err(0),
            _ => Ok(()),
        }
    })
    .await;
    peer.state.is_closed.store(false, Ordering::SeqCst);
    // While the first call still has the only stream of the only connection.
    peer.has_taken(2).await;
    peer.state.permits.add_permits(2);
    for outcome in join_all([first, second]).await {
        assert_eq!(outcome.unwrap().unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_request_that_its_sender_breaks_off_is_not_held_against_the_endpoint() {
    let (one, other) = (Peer::start(9, 0).await, Peer::start(9, 0).await);
    let client = ClientSettings {
        eject_percent_max: 100,
        ..unchecked()
    };
    let upstream = upstream(&[&one, &other], client);
    for peer in [&one, &other] {
        peer.state.begins_early.store(true, Ordering::SeqCst);
    }
    for _ in 0..40 {
        let (sender, frames) = mpsc::channel(1);
        let body = Body::new(StreamBody::new(ReceiverStream::new(frames)));
        let request = Request::post(PUT).body(body).unwrap();
        let response = upstream.clone().call(request).await.unwrap();
        let torn = Err::<Frame<Bytes>, _>(Status::aborted("torn"));
        sender.send(torn).await.unwrap();
        let failed = response.into_body().collect().await.unwrap_err();
        let reason = rpc::error::reason(&failed);
        assert_eq!(reason.as_deref(), Some("REQUEST_BROKEN_OFF"), "{failed:?}");
    }
    assert_eq!(upstream.shared.split.main.usable(), [true, true]);
}

#[tokio::test]
async fn callers_in_a_hurry_do_not_open_the_circuit_for_others() {
    let peer = Peer::start(100, 0).await;
    let upstream = upstream(&[&peer], unchecked());
    let hasty = (0..30).map(|_| {
        let soon = Instant::now() + Duration::from_millis(20);
        deadline::scope(soon, call(&upstream, PUT))
    });
    for outcome in join_all(hasty).await {
        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
    }
    peer.state.permits.add_permits(31);
    assert_eq!(call(&upstream, PUT).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_peer() {
    let mut peer = Peer::start(9, 0).await;
    let upstream = upstream(&[&peer], unchecked());
    let mut dropped = Box::pin(call(&upstream, PUT));
    tokio::select! {
        outcome = &mut dropped => panic!("{outcome:?}"),
        () = peer.has_taken(1) => {}
    }
    drop(dropped);
    assert_eq!(peer.resets.recv().await, Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_slow_call_without_side_effects_is_hedged() {
    let (mut slow, fast) = (Peer::start(9, 0).await, Peer::start(9, 1000).await);
    let client = ClientSettings {
        hedge_after_ms: 10,
        ..unchecked()
    };
    let upstream = upstream(&[&slow, &fast], client);
    while slow.calls() == 0 {
        assert_eq!(call(&upstream, GET).await.unwrap(), "ok");
    }
    // The losing call is cancelled.
    assert_eq!(slow.resets.recv().await, Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_call_with_side_effects_is_not_hedged() {
    let (one, other) = (Peer::start(9, 0).await, Peer::start(9, 0).await);
    let client = ClientSettings {
        hedge_after_ms: 1,
        ..unchecked()
    };
    let upstream = upstream(&[&one, &other], client);
    let soon = Instant::now() + Duration::from_millis(100);
    let outcome = deadline::scope(soon, call(&upstream, PUT)).await;
    assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(one.calls() + other.calls(), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_unwell_gets_no_calls_until_it_is_well() {
    let (one, other) = (Peer::start(9, 10_000).await, Peer::start(9, 10_000).await);
    let client = ClientSettings {
        health_interval_ms: 5,
        ..ClientSettings::default()
    };
    let upstream = upstream(&[&one, &other], client);
    let is_first_usable = || upstream.shared.split.main.usable()[0];
    for is_well in [false, true, false] {
        one.state.is_well.store(is_well, Ordering::SeqCst);
        eventually("the check notices", || match is_first_usable() {
            found if found == is_well => Ok(()),
            found => Err(found),
        })
        .await;
        let before = one.calls();
        for _ in 0..40 {
            assert_eq!(call(&upstream, PUT).await.unwrap(), "ok");
        }
        assert_eq!(one.calls() > before, is_well);
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_stands_for_its_addresses() {
    let peer = Peer::start(9, 10).await;
    let url = format!("http://localhost:{}", peer.address.port());
    let upstream = Upstream::connect_lazy(&url, &unchecked(), METHODS).unwrap();
    // `localhost` may also resolve to an IPv6 address without a listener.
    for _ in 0..5 {
        assert_eq!(call(&upstream, PUT).await.unwrap(), "ok");
    }
    assert_eq!(peer.calls(), 5);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let url = "http://nowhere.invalid:1";
    let upstream = Upstream::connect_lazy(url, &unchecked(), METHODS).unwrap();
    let status = call(&upstream, PUT).await.unwrap_err();
    let reason = rpc::error::reason(&status);
    assert_eq!(
        reason.as_deref(),
        Some("UPSTREAM_UNREACHABLE"),
        "{status:?}"
    );
}
