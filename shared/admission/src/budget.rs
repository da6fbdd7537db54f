//! The memory that requests may hold: bytes per process, shared fairly between clients.

mod ledger;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use rpc::error::Fault;
use rpc::lock::lock;
use tonic::Status;

use self::ledger::Ledger;
use crate::client::Client;

/// The bytes of any request: its head, its state, and a small message.
pub const REQUEST_BYTES: usize = 8 * 1024;

/// The delay before a rejected caller should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A bound of the bytes that the requests of a process hold; clones share it.
///
/// A client may hold as many bytes as are left for others: alone half of the bound, and a share of
/// `1 / (n + 2)` beside n others that hold as much. So a part is always free for the next client. A
/// request over its client's share ends the oldest one of the client that holds more than
/// [`REQUEST_BYTES`], so that who holds little is served; it is refused if there is none.
#[derive(Clone)]
pub struct Budget(Arc<Mutex<Ledger>>);

/// The state of a budget, for metrics and pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetStatus {
    /// The bound, in bytes.
    pub limit: usize,
    /// The held bytes.
    pub held: usize,
    /// Clients that hold any.
    pub clients: usize,
    /// Requests ended and refused since the start: by a client's share, and by the whole.
    pub refused: [u64; 2],
}

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The client holds its share.
    Client,
    /// All clients together hold everything.
    Process,
}

/// The bytes that one request holds until the last clone is dropped: [`REQUEST_BYTES`], and those
/// of its message and of its unread response beyond that.
#[derive(Clone)]
pub struct Holding(Arc<HeldRequest>);

/// Extension of a response: what its client may leave unread.
#[derive(Debug, Clone)]
pub struct Unread {
    /// The request that it answers.
    pub holding: Holding,
    /// Bytes that wait behind a response that is not read: those of it, or a window of its source.
    pub window: usize,
}

/// Bytes that a part of a request holds beside its [`Holding`]; they are released with it.
#[derive(Debug)]
pub struct Part {
    holding: Holding,
    bytes: usize,
}

/// A response that can be ended to free its memory.
pub trait Evict: Send + Sync {
    /// Ends the response.
    fn evict(&self);
}

pub(crate) struct HeldRequest {
    budget: Budget,
    /// The client's place in the ledger.
    place: usize,
    own: usize,
    /// Bytes beyond `own`; changes under the ledger's lock only.
    counted: AtomicUsize,
    /// Set under the ledger's lock; nothing is counted afterwards.
    is_evicted: AtomicBool,
    /// Bytes of the one message that has arrived and is not sent yet.
    received: AtomicUsize,
    /// Bytes of the response that its client leaves unread.
    unread: AtomicUsize,
    waker: AtomicWaker,
    response: OnceLock<Weak<dyn Evict>>,
}

// === impl Budget ===

impl Budget {
    /// Creates a budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(limit))))
    }

    /// Begins a request of a client, with a head of this size: it holds [`REQUEST_BYTES`] or that.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn admit(&self, client: &Client, head_bytes: usize) -> Result<Holding, Excess> {
        let own = head_bytes.max(REQUEST_BYTES);
        let mut evicted = Vec::new();
        let place = {
            let mut ledger = lock(&self.0);
            let place = ledger.place(client);
            ledger.admit(place, own, &mut evicted).map(|()| place)
        };
        end(evicted);
        Ok(Holding(Arc::new(HeldRequest::new(
            self.clone(),
            place?,
            own,
        ))))
    }

    /// Returns the state.
    pub fn status(&self) -> BudgetStatus {
        lock(&self.0).status()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Budget")
            .field(&self.status())
            .finish()
    }
}

/// Ends requests outside of the lock: what they drop may hold other requests.
fn end(evicted: Vec<Arc<HeldRequest>>) {
    for request in evicted {
        request.waker.wake();
        if let Some(response) = request.response.get().and_then(Weak::upgrade) {
            response.evict();
        }
    }
}

// === impl Holding ===

impl Holding {
    /// Counts bytes of the request's one message, from the first that [`REQUEST_BYTES`] don't cover
    /// until [`Holding::sent`].
    ///
    /// # Errors
    /// There is no room for them.
    pub fn receive(&self, bytes: usize) -> Result<(), Excess> {
        let before = self.0.received.load(Ordering::Relaxed);
        let after = before + bytes;
        self.change(before, after)?;
        self.0.received.store(after, Ordering::Relaxed);
        Ok(())
    }

    /// Releases the bytes of the request's one message.
    pub fn sent(&self) {
        let received = self.0.received.swap(0, Ordering::Relaxed);
        self.0.release(beyond(received));
    }

    /// Counts so many bytes of a response as unread, until [`Holding::read`].
    ///
    /// # Errors
    /// There is no room for them.
    pub fn unread(&self, bytes: usize) -> Result<(), Excess> {
        let before = self.0.unread.load(Ordering::Relaxed);
        self.change(before, bytes)?;
        self.0.unread.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that nothing of the response waits to be read.
    pub fn read(&self) {
        let unread = self.0.unread.swap(0, Ordering::Relaxed);
        self.0.release(beyond(unread));
    }

    /// Sets the response, which is ended if its memory is needed.
    pub fn answer(&self, response: Weak<dyn Evict>) {
        // A request has one.
        let _ = self.0.response.set(response);
    }

    /// Waits for the outcome of `work`, or until the memory of the request is needed.
    ///
    /// # Errors
    /// It is.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Excess> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending => self.poll_evicted(context).map(Err),
        })
        .await
    }

    /// Returns a part that holds nothing yet.
    pub fn part(&self) -> Part {
        Part {
            holding: self.clone(),
            bytes: 0,
        }
    }

    fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<Excess> {
        self.0.waker.register(context.waker());
        match self.0.is_evicted.load(Ordering::Acquire) {
            true => Poll::Ready(Excess::Client),
            false => Poll::Pending,
        }
    }

    fn change(&self, before: usize, after: usize) -> Result<(), Excess> {
        let (before, after) = (beyond(before), beyond(after));
        match after.checked_sub(before) {
            Some(0) => Ok(()),
            None => {
                self.0.release(before - after);
                Ok(())
            }
            Some(more) => {
                let mut evicted = Vec::new();
                let counted = lock(&self.0.budget.0).grow(&self.0, more, &mut evicted);
                end(evicted);
                counted
            }
        }
    }
}

impl Default for Holding {
    /// A request that no budget bounds.
    fn default() -> Self {
        let budget = Budget::new(usize::MAX);
        let place = lock(&budget.0).place(&Client::Unknown);
        Self(Arc::new(HeldRequest::new(budget, place, 0)))
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Holding")
            .field("counted", &self.0.counted)
            .field("is_evicted", &self.0.is_evicted)
            .finish_non_exhaustive()
    }
}

// === impl Part ===

impl Part {
    /// Sets the held bytes; those up to [`REQUEST_BYTES`] are counted with the request.
    ///
    /// # Errors
    /// There is no room for them; the part stays as it was.
    pub fn set(&mut self, bytes: usize) -> Result<(), Excess> {
        if bytes != self.bytes {
            self.holding.change(self.bytes, bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.holding.0.release(beyond(self.bytes));
    }
}

// === impl HeldRequest ===

impl HeldRequest {
    fn new(budget: Budget, place: usize, own: usize) -> Self {
        Self {
            budget,
            place,
            own,
            counted: AtomicUsize::new(0),
            is_evicted: AtomicBool::new(false),
            received: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
            response: OnceLock::new(),
        }
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            lock(&self.budget.0).shrink(self, bytes);
        }
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        lock(&self.budget.0).end(self);
    }
}

/// Returns the part of so many bytes that a request counts beside its own.
fn beyond(bytes: usize) -> usize {
    bytes.saturating_sub(REQUEST_BYTES)
}

// === impl Excess ===

impl Excess {
    /// All values, in the order of [`BudgetStatus::refused`].
    pub const ALL: [Self; 2] = [Self::Client, Self::Process];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Process => "process",
        }
    }
}

impl From<Excess> for Fault {
    fn from(excess: Excess) -> Self {
        let fault = match excess {
            Excess::Client => Self::resource_exhausted(
                "CLIENT_OVER_BUDGET",
                "the requests of this client hold its share of the memory (`max_held_bytes`)",
            ),
            Excess::Process => Self::unavailable(
                "BUDGET_SPENT",
                "the requests of all clients hold all of the memory (`max_held_bytes`)",
            ),
        };
        fault.retry_after(RETRY_AFTER)
    }
}

impl From<Excess> for Status {
    fn from(excess: Excess) -> Self {
        Fault::from(excess).into()
    }
}
