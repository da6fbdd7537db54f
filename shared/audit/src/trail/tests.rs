//! The queue, without a broker: what is refused, what is counted, and who waits.

use super::*;

/// Nothing listens there.
fn away(when_full: WhenFull) -> Settings {
    Settings {
        nats: "nats://127.0.0.1:1".to_owned(),
        when_full,
        queue: 16,
        timeout_ms: 50,
        denials_per_second: 3,
        ..Settings::default()
    }
}

fn trail(when_full: WhenFull) -> (Trail, CancellationToken) {
    let shutdown = CancellationToken::new();
    let (trail, writing) = Trail::begin(&away(when_full), "Front.1", shutdown.clone());
    tokio::spawn(writing);
    (trail, shutdown)
}

fn counts(trail: &Trail) -> (u64, u64, u64) {
    let status = &trail.0.status;
    let figures = &status.figures;
    let waiting = status.waiting.load(Ordering::Acquire);
    (waiting, figures.refused.get(), figures.dropped.get())
}

#[tokio::test]
async fn a_write_is_refused_in_time_and_at_once_while_the_stream_is_away() {
    let (trail, _shutdown) = trail(WhenFull::Refuse);
    assert_eq!(trail.admit(Call::default()).await.unwrap_err(), NotRecorded);
    while !trail.0.status.is_away.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
    let (waiting, ..) = counts(&trail);
    for _ in 0..100 {
        trail.admit(Call::default()).await.unwrap_err();
    }
    // None of the hundred has waited, and none takes a place.
    assert_eq!(counts(&trail).0, waiting);
    assert!(counts(&trail).1 > 100);
}

#[tokio::test]
async fn calls_that_may_go_on_are_counted_beyond_half_of_the_queue() {
    let (trail, _shutdown) = trail(WhenFull::Drop);
    let mut tickets = Vec::new();
    for _ in 0..20 {
        tickets.push(trail.admit(Call::default()).await.unwrap());
    }
    assert_eq!(counts(&trail), (8, 0, 12));
    // Outcomes fill the rest; those of calls that are not recorded are not there either.
    tickets.into_iter().for_each(|ticket| ticket.end(Code::Ok));
    assert_eq!(counts(&trail), (16, 0, 12));
}

#[tokio::test]
async fn denials_have_a_quarter_of_the_queue_and_few_places_in_a_second() {
    let (trail, _shutdown) = trail(WhenFull::Refuse);
    for _ in 0..10 {
        trail.deny(Call::default(), "ROLE_MISSING", Code::PermissionDenied);
    }
    assert_eq!(counts(&trail), (3, 0, 7));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_stream_that_is_away() {
    let (trail, writing) = {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        Trail::begin(&away(WhenFull::Drop), "front", shutdown)
    };
    drop(trail.admit(Call::default()).await.unwrap());
    timeout(Duration::from_secs(20), writing).await.unwrap();
}

#[test]
fn long_texts_are_recorded_as_digests() {
    let long = "x".repeat(MAX_TEXT + 1);
    let call = bounded(Call {
        request_id: long.clone(),
        resource: "short".to_owned(),
        ..Call::default()
    });
    assert_eq!(
        call.request_id,
        format!("sha256:{:x}", Sha256::digest(&long))
    );
    assert_eq!(call.resource, "short");
    assert_eq!(plain("Front.1 ü"), "front-1--");
}
