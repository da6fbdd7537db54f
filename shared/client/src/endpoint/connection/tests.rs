//! Pings, counted by a peer that is played frame by frame, on a paused clock.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance};

use super::*;

const PREFACE_BYTES: usize = 24;
/// Longer than the interval of pings.
const INTERVAL: Duration = Duration::from_secs(360);
const PINGS: usize = 40;

/// Acknowledges pings, and notes when they came; the first belongs to the handshake. After so many,
/// it says that they are too many.
async fn peer(mut stream: DuplexStream, pings_max: usize) -> Vec<Instant> {
    let mut pings = Vec::new();
    let mut preface = [0; PREFACE_BYTES];
    stream.read_exact(&mut preface).await.unwrap();
    stream
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        let (kind, flags) = (head[3], head[4]);
        if kind != 6 || flags & 1 != 0 {
            continue;
        }
        pings.push(Instant::now());
        if pings.len() > pings_max {
            let message = b"too_many_pings";
            let length = 8 + message.len() as u8;
            let goaway = [
                &[0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11][..],
                message,
            ];
            let _ = stream.write_all(&goaway.concat()).await;
            break;
        }
        let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &payload].concat();
        stream.write_all(&pong).await.unwrap();
    }
    pings
}

async fn connect(
    pace: &PingPace,
    pings_max: usize,
) -> (Connection, tokio::task::JoinHandle<Vec<Instant>>) {
    let (near, far) = duplex(1 << 16);
    let peer = tokio::spawn(peer(far, pings_max));
    let settings = ClientSettings::default();
    (handshake(near, &settings, pace).await.unwrap(), peer)
}

#[tokio::test(start_paused = true)]
async fn pings_are_as_rare_as_servers_want_them_and_none_comes_without_a_call() {
    let (connection, peer) = connect(&PingPace::default(), PINGS).await;
    for _ in 0..PINGS {
        advance(INTERVAL).await;
    }
    assert!(connection.reserve());
    let began = Instant::now();
    let pings = peer.await.unwrap();
    assert!(pings.len() > 40, "{}", pings.len());
    assert!(pings[1] >= began);
    for two in pings.windows(2) {
        // Both grpc-core and grpc-go allow one in five minutes.
        assert!(two[1] - two[0] > Duration::from_secs(300));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_pings_double_the_interval_of_the_next_connection() {
    let (pace, settings) = (PingPace::default(), ClientSettings::default());
    let before = pace.interval(&settings);
    let (connection, peer) = connect(&pace, 1).await;
    assert!(connection.reserve());
    assert_eq!(peer.await.unwrap().len(), 2);
    while connection.is_open() {
        tokio::task::yield_now().await;
    }
    assert_eq!(pace.interval(&settings), 2 * before);
}
