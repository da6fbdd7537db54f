//! Writes that are coalesced, and their errors.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::task::noop_waker_ref;
use proptest::prelude::*;

use super::*;

/// A peer that takes so many bytes, and says how they came.
#[derive(Clone, Default)]
struct Peer(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    room: usize,
    writes: Vec<Vec<u8>>,
    is_broken: bool,
    is_shut: bool,
}

impl Peer {
    fn with_room(room: usize) -> Self {
        let peer = Self::default();
        peer.taken().room = room;
        peer
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.taken().writes.concat()
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut taken = self.taken();
        if taken.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(taken.room);
        if length == 0 {
            return Poll::Pending;
        }
        taken.room -= length;
        taken.writes.push(bytes[..length].to_vec());
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.taken().is_shut = true;
        Poll::Ready(Ok(()))
    }
}

fn write(stream: &mut WriteBuffer<Peer>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let context = &mut Context::from_waker(noop_waker_ref());
    let written = Pin::new(&mut *stream).poll_write(context, bytes);
    // As HTTP/2 does behind each frame.
    let _ = Pin::new(stream).poll_flush(context);
    written
}

/// Lets a connection that has nothing more to write rest.
fn rest(flusher: Flusher<Peer>) -> Flusher<Peer> {
    let context = &mut Context::from_waker(noop_waker_ref());
    let mut driver = flusher.drive(std::future::pending::<()>());
    assert!(Pin::new(&mut driver).poll(context).is_pending());
    assert!(Pin::new(&mut driver).poll(context).is_pending());
    Flusher(driver.writes)
}

#[tokio::test]
async fn a_connection_runs_behind_the_streams_that_are_ready() {
    let sent = Arc::new(AtomicUsize::new(0));
    let seen = sent.clone();
    let (_stream, flusher) = buffer(tokio::io::sink());
    // What is woken last runs first in its runtime, hence the other order.
    let connection = flusher.drive(std::future::poll_fn(move |_| {
        Poll::Ready(seen.load(Ordering::Relaxed))
    }));
    let connection = tokio::spawn(connection);
    for _ in 0..5 {
        let sent = sent.clone();
        tokio::spawn(async move { sent.fetch_add(1, Ordering::Relaxed) });
    }
    assert_eq!(connection.await.unwrap(), 5);
}

#[test]
fn what_is_written_until_the_connection_rests_leaves_in_one_write() {
    let peer = Peer::with_room(usize::MAX);
    let (mut stream, mut flusher) = buffer(peer.clone());
    for round in 1..=2 {
        for frame in ["one", "two", "three"] {
            assert!(write(&mut stream, frame.as_bytes()).is_ready());
        }
        flusher = rest(flusher);
        assert_eq!(peer.taken().writes.len(), round);
    }
    assert_eq!(peer.bytes(), b"onetwothreeonetwothree");
    assert_eq!(lock(&flusher.0).buffer.capacity(), 0);
}

#[test]
fn a_large_write_is_not_copied_and_overtakes_nothing() {
    let peer = Peer::with_room(usize::MAX);
    let (mut stream, _flusher) = buffer(peer.clone());
    assert!(write(&mut stream, b"small").is_ready());
    let large = vec![7; LARGE_BYTES];
    assert!(write(&mut stream, &large).is_ready());
    assert_eq!(peer.taken().writes, [b"small".to_vec(), large]);
}

#[test]
fn a_failure_is_told_to_the_next_who_writes() {
    let peer = Peer::default();
    let (mut stream, flusher) = buffer(peer.clone());
    assert!(write(&mut stream, b"lost").is_ready());
    peer.taken().is_broken = true;
    let _flusher = rest(flusher);
    let Poll::Ready(Err(error)) = write(&mut stream, b"more") else {
        panic!("it was taken");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn nothing_is_left_behind_when_it_is_shut_down() {
    let peer = Peer::with_room(2);
    let (mut stream, _flusher) = buffer(peer.clone());
    assert!(write(&mut stream, b"last").is_ready());
    let context = &mut Context::from_waker(noop_waker_ref());
    assert!(Pin::new(&mut stream).poll_shutdown(context).is_pending());
    assert!(!peer.taken().is_shut);
    peer.taken().room = 2;
    assert!(Pin::new(&mut stream).poll_shutdown(context).is_ready());
    assert!(peer.taken().is_shut);
    assert_eq!(peer.bytes(), b"last");
}

proptest! {
    #[test]
    fn all_arrives_in_order_and_little_is_buffered(
        steps in prop::collection::vec((1..3 * LARGE_BYTES, 0..2 * BUFFER_BYTES_MAX, any::<bool>()), 1..40)
    ) {
        let peer = Peer::default();
        let (mut stream, mut flusher) = buffer(peer.clone());
        let (mut sent, mut byte) = (Vec::new(), 0u8);
        for (length, room, rests) in steps {
            peer.taken().room = room;
            let bytes: Vec<u8> = (0..length).map(|_| { byte = byte.wrapping_add(1); byte }).collect();
            let mut left = &bytes[..];
            while !left.is_empty() {
                match write(&mut stream, left) {
                    Poll::Ready(written) => {
                        let written = written.unwrap();
                        sent.extend_from_slice(&left[..written]);
                        left = &left[written..];
                    }
                    Poll::Pending => peer.taken().room += 1 + room,
                }
                prop_assert!(lock(&stream.0).buffer.len() <= BUFFER_BYTES_MAX);
            }
            if rests {
                flusher = rest(flusher);
            }
        }
        peer.taken().room = usize::MAX;
        let _flusher = rest(flusher);
        prop_assert!(peer.bytes() == sent);
    }
}
