//! Callers that leave their calls.

use super::*;

const LEFT: usize = 60;

#[tokio::test]
async fn callers_that_leave_at_once_do_not_make_a_server_close_the_connection_of_others() {
    let mut peer = Peer::start(1000, 0).await;
    let url = format!("http://{}", peer.address);
    let upstream = Upstream::connect_lazy(&url, &unchecked(), METHODS).unwrap();
    let calls = (0..LEFT).map(|_| {
        let upstream = upstream.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { call(&upstream, PUT).await }))
    });
    let calls: Vec<_> = calls.collect();
    peer.has_taken(LEFT).await;
    for call in &calls {
        call.abort();
    }
    for call in calls {
        assert!(call.await.unwrap_err().is_cancelled());
    }
    // Those that are not reset are answered, and then the last.
    peer.state.permits.add_permits(LEFT + 1);
    assert_eq!(call(&upstream, PUT).await.unwrap(), "ok");
    assert_eq!(peer.connections(), 1);
    let mut resets = 0;
    while let Ok(reason) = peer.resets.try_recv() {
        assert_eq!(reason, Reason::CANCEL);
        resets += 1;
    }
    assert!((1..=20).contains(&resets), "{resets} of {LEFT}");
}
