//! The turns of one client's tasks among those of all clients.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::coop::cooperative;

/// Connections and HTTP/2 streams of a client that are tasks of their own.
const ALONE_MAX: usize = 32;

/// Tasks in which a client's further connections and streams run, for each worker of the runtime.
const LANES_PER_WORKER: usize = 2;

/// Bound of the queue of a lane; what finds it full is a task of its own.
const QUEUE: usize = 1024;

/// The tasks of one client.
///
/// The runtime gives each task its turn, so a client would get as many as it has connections with
/// work. Beyond [`ALONE_MAX`] they share a few tasks, whose turns the runtime's budget bounds.
#[derive(Default)]
pub(crate) struct Turns {
    alone: AtomicUsize,
    next: AtomicUsize,
    lanes: OnceLock<Vec<mpsc::Sender<BoxFuture<'static, ()>>>>,
}

/// A task of its own.
struct Alone(Arc<Turns>);

/// Runs the streams of an HTTP/2 connection in the turns of its client.
#[derive(Clone)]
pub(crate) struct Executor(pub(crate) Arc<Turns>);

// === impl Turns ===

impl Turns {
    /// Runs a future to its end; a panic ends that future alone.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        if self.alone.load(Ordering::Relaxed) < ALONE_MAX {
            return self.spawn_alone(work);
        }
        let lanes = self.lanes.get_or_init(open_lanes);
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(lane) = lanes.get(next % lanes.len().max(1)) else {
            return self.spawn_alone(work);
        };
        if let Err(refused) = lane.try_send(work.boxed()) {
            self.spawn_alone(refused.into_inner());
        }
    }

    fn spawn_alone(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.alone.fetch_add(1, Ordering::Relaxed);
        let alone = Alone(self.clone());
        tokio::spawn(async move {
            work.await;
            drop(alone);
        });
    }
}

/// Starts the lanes of a client, which end with its last connection.
fn open_lanes() -> Vec<mpsc::Sender<BoxFuture<'static, ()>>> {
    let workers = Handle::current().metrics().num_workers();
    let lanes = (0..workers * LANES_PER_WORKER).map(|_| {
        let (sender, queue) = mpsc::channel(QUEUE);
        tokio::spawn(run_lane(queue));
        sender
    });
    lanes.collect()
}

async fn run_lane(mut queue: mpsc::Receiver<BoxFuture<'static, ()>>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            work = queue.recv() => match work {
                // Each turn of each takes from the budget of the lane's own.
                Some(work) => running.push(AssertUnwindSafe(cooperative(work)).catch_unwind()),
                None => break,
            },
            // A panic has been reported by its hook.
            Some(_) = running.next(), if !running.is_empty() => {}
        }
    }
    while running.next().await.is_some() {}
}

// === impl Alone ===

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.alone.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Executor ===

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.spawn(async move {
            stream.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    use futures::future::poll_fn;
    use tokio::sync::oneshot;

    /// Waits for the next turn of a task that has work.
    async fn turn() {
        let mut is_ready = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            match std::mem::replace(&mut is_ready, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_with_a_thousand_busy_tasks_leaves_turns_to_another() {
        let (busy, quiet) = (Arc::new(Turns::default()), Arc::new(Turns::default()));
        let turns = Arc::new(AtomicUsize::new(0));
        for _ in 0..1000 {
            let turns = turns.clone();
            busy.spawn(async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    turn().await;
                }
            });
        }
        let (done, taken) = oneshot::channel();
        quiet.spawn(async move {
            let before = turns.load(Ordering::Relaxed);
            for _ in 0..100 {
                turn().await;
            }
            let _ = done.send(turns.load(Ordering::Relaxed) - before);
        });
        let taken = taken.await.unwrap();
        // A turn of a lane is one budget of the runtime: 128.
        let lanes = LANES_PER_WORKER * 130;
        assert!(taken <= 101 * (ALONE_MAX + lanes), "{taken}");
    }

    #[tokio::test]
    async fn all_work_ends_and_a_panic_ends_one_task_only() {
        let turns = Arc::new(Turns::default());
        let (gate, _) = tokio::sync::watch::channel(false);
        let mut ends = Vec::new();
        for number in 0..200 {
            let (end, ended) = oneshot::channel();
            let mut opened = gate.subscribe();
            turns.spawn(async move {
                let _ = opened.wait_for(|is_open| *is_open).await;
                assert_ne!(number, 100, "one of two hundred fails");
                let _ = end.send(());
            });
            ends.push(ended);
        }
        gate.send_replace(true);
        let ended = futures::future::join_all(ends).await;
        assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 199);
        drop(turns);
    }
}
