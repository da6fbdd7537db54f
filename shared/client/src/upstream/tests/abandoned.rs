//! Callers that leave their calls.

use super::*;
use crate::endpoint::resets::{BURST, YOUNG};

const LEFT: usize = 60;

/// Leaves so many calls at once; returns how many resets the server saw before a later call, and
/// how long it took.
async fn leave() -> (usize, Duration) {
    let mut peer = Peer::start(1000, 0).await;
    let upstream = upstream(&[&peer], unchecked());
    let begun = Instant::now();
    let calls: Vec<_> = (0..LEFT)
        .map(|_| AbortOnDropHandle::new(ask(&upstream)))
        .collect();
    peer.has_taken(LEFT).await;
    drop(calls);
    let mut resets = 0;
    while resets < BURST as usize {
        assert_eq!(peer.resets.recv().await, Some(Reason::CANCEL));
        resets += 1;
    }
    // Those that are not reset are answered, and then the last.
    peer.state.permits.add_permits(LEFT + 1);
    assert_eq!(call(&upstream, PUT).await.unwrap(), "ok");
    let took = begun.elapsed();
    assert_eq!(peer.connections(), 1);
    while peer.resets.try_recv().is_ok() {
        resets += 1;
    }
    (resets, took)
}

#[tokio::test]
async fn callers_that_leave_at_once_do_not_make_a_server_close_the_connection_of_others() {
    loop {
        let (resets, took) = leave().await;
        // Calls that are old by then are reset at any rate: a slow machine tries again.
        if took < YOUNG {
            return assert!(resets < 2 * BURST as usize, "{resets} of {LEFT}");
        }
    }
}
