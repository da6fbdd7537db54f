//! Streams that send a resource whenever it has changed, until its end: one way to watch in every service.

use std::{sync::Arc, time::Duration};

use futures::{
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use rpc::error::Fault;

/// Between two looks, at least: a busy resource changes more often than anybody can follow.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Between two looks, at most: other processes change the resource without waking this one.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Looks whether the resource is another one than the last that was sent; `None` if it is not.
pub type Look<T> = Box<dyn Fn(T) -> BoxFuture<'static, Result<Option<T>, Status>> + Send>;

/// Those who watch resources of this process, a bounded number; clones are the same.
#[derive(Clone, Debug)]
pub struct Watchers {
    permits: Arc<Semaphore>,
    changed: watch::Sender<()>,
    draining: CancellationToken,
}

struct Watcher<T> {
    look: Look<T>,
    is_end: fn(&T) -> bool,
    changed: watch::Receiver<()>,
    draining: CancellationToken,
    last: T,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

// === impl Watchers ===

impl Watchers {
    /// At most `limit` streams at once, until `draining`.
    pub fn new(limit: usize, draining: CancellationToken) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            changed: watch::Sender::new(()),
            draining,
        }
    }

    /// Has them look now: this process has changed something.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    /// Sends `first` and then every change that a look finds, until one that `is_end`. A process that stops ends the
    /// stream with UNAVAILABLE, so that nobody takes a pause for the end.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with reason TOO_MANY_WATCHERS.
    pub fn watch<T: Clone + Send + 'static>(
        &self,
        first: T,
        is_end: fn(&T) -> bool,
        look: Look<T>,
    ) -> Result<BoxStream<'static, Result<T, Status>>, Fault> {
        let full = |_| {
            Fault::resource_exhausted("TOO_MANY_WATCHERS", "too many streams watch this process")
        };
        let watcher = Watcher {
            look,
            is_end,
            changed: self.changed.subscribe(),
            draining: self.draining.clone(),
            ended: is_end(&first),
            last: first.clone(),
            _permit: self.permits.clone().try_acquire_owned().map_err(full)?,
        };
        let changes = stream::unfold(watcher, |mut watcher| async move {
            let change = watcher.next().await?;
            Some((change, watcher))
        });
        Ok(stream::iter([Ok(first)]).chain(changes).boxed())
    }
}

// === impl Watcher ===

impl<T: Clone> Watcher<T> {
    /// The next change; an error is the last thing.
    async fn next(&mut self) -> Option<Result<T, Status>> {
        if self.ended {
            return None;
        }
        let change = self.change().await;
        match &change {
            Ok(resource) => {
                self.ended = (self.is_end)(resource);
                self.last = resource.clone();
            }
            Err(_) => self.ended = true,
        }
        Some(change)
    }

    async fn change(&mut self) -> Result<T, Status> {
        loop {
            tokio::select! {
                () = self.draining.cancelled() => {
                    return Err(Fault::unavailable("STOPPING", "the process stops; watch again").into());
                }
                () = pause(&mut self.changed) => {}
            }
            if let Some(resource) = (self.look)(self.last.clone()).await? {
                return Ok(resource);
            }
        }
    }
}

async fn pause(changed: &mut watch::Receiver<()>) {
    sleep(PAUSE_MIN).await;
    // Woken or not, the database says what is new.
    let _ = timeout(PAUSE_MAX - PAUSE_MIN, changed.changed()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tonic::Code;

    use super::*;

    fn counting(counter: &Arc<AtomicU32>) -> Look<u32> {
        let counter = counter.clone();
        Box::new(move |last| {
            let now = counter.load(Ordering::Relaxed);
            Box::pin(async move { Ok((now != last).then_some(now)) })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn sends_each_change_once_and_ends_at_the_end() {
        let counter = Arc::new(AtomicU32::new(1));
        let watchers = Watchers::new(1, CancellationToken::new());
        let mut stream = watchers.watch(1, |&n| n == 3, counting(&counter)).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        counter.store(2, Ordering::Relaxed);
        assert_eq!(stream.next().await.unwrap().unwrap(), 2);
        counter.store(3, Ordering::Relaxed);
        watchers.wake();
        assert_eq!(stream.next().await.unwrap().unwrap(), 3);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_no_end() {
        let draining = CancellationToken::new();
        let watchers = Watchers::new(1, draining.clone());
        let mut stream = watchers
            .watch(1, |_| false, counting(&Arc::new(AtomicU32::new(1))))
            .unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        draining.cancel();
        assert_eq!(
            stream.next().await.unwrap().unwrap_err().code(),
            Code::Unavailable
        );
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn more_than_the_limit_are_refused_until_one_has_gone() {
        let watchers = Watchers::new(1, CancellationToken::new());
        let look = || counting(&Arc::new(AtomicU32::new(1)));
        let first = watchers.watch(1, |_| false, look()).unwrap();
        assert_eq!(
            watchers.watch(1, |_| false, look()).err().unwrap().code,
            Code::ResourceExhausted
        );
        drop(first);
        assert!(watchers.watch(1, |_| false, look()).is_ok());
    }
}
