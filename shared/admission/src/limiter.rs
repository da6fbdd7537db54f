//! The limiter: admission as a future, and the permit that a call holds.

use std::fmt;
use std::sync::{Arc, Mutex};

use rpc::lock::lock;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Request;
use crate::queue::Call;
use crate::settings::AdmissionSettings;
use crate::state::{Offer, Outcome, Refusal, State, Status};

type Reply = oneshot::Sender<Result<u64, Refusal>>;

/// Limits the calls in flight to one server; clones share the limit.
#[derive(Clone)]
pub struct Limiter {
    /// `None` if calls are not limited.
    state: Option<Arc<Mutex<State<Reply>>>>,
}

/// The slot of one call. [`Permit::answered`] ends it; dropped before, the call counts as given up,
/// and the slot stays taken for about its expected service time.
#[must_use = "the slot is free again without it"]
pub struct Permit {
    slot: Option<Slot>,
    outcome: Outcome,
}

struct Slot {
    state: Arc<Mutex<State<Reply>>>,
    id: u64,
}

/// A place in the queue.
struct Place<'a> {
    state: &'a Arc<Mutex<State<Reply>>>,
    call: Call,
    id: u64,
    reply: oneshot::Receiver<Result<u64, Refusal>>,
}

// === impl Limiter ===

impl Limiter {
    /// Creates a limiter at its initial limit.
    pub fn new(settings: &AdmissionSettings) -> Self {
        let state = || State::new(settings.clone(), Instant::now());
        Self {
            state: settings.enabled.then(|| Arc::new(Mutex::new(state()))),
        }
    }

    /// Waits until the call may begin. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// The server is overloaded: the call must not be sent.
    pub async fn admit(&self, request: &Request) -> Result<Permit, Refusal> {
        let Some(shared) = &self.state else {
            return Ok(Permit::new(None));
        };
        let (place, give_up) = {
            let (mut state, now) = (lock(shared), Instant::now());
            match state.offer(request, now) {
                Offer::Admitted(id) => return Ok(Permit::at(shared, id)),
                Offer::Refused(refusal) => return Err(refusal),
                Offer::Queued(call, give_up) => {
                    let (sender, reply) = oneshot::channel();
                    let id = state.enqueue(call, give_up, sender, now);
                    deliver(&mut state);
                    let place = Place {
                        state: shared,
                        call,
                        id,
                        reply,
                    };
                    (place, give_up)
                }
            }
        };
        place.wait(give_up).await
    }

    /// Returns the state; `None` if calls are not limited.
    pub fn status(&self) -> Option<Status> {
        self.state.as_ref().map(|state| lock(state).status())
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Limiter")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

// === impl Permit ===

impl Permit {
    /// Ends the call: its server has answered. `is_overloaded` for the errors that mean overload.
    pub fn answered(mut self, is_overloaded: bool) {
        self.outcome = match is_overloaded {
            true => Outcome::Failed,
            false => Outcome::Answered,
        };
    }

    /// Ends a call that did not reach a server.
    pub fn unused(mut self) {
        self.outcome = Outcome::Unused;
    }

    fn new(slot: Option<Slot>) -> Self {
        Self {
            slot,
            outcome: Outcome::Abandoned,
        }
    }

    fn at(state: &Arc<Mutex<State<Reply>>>, id: u64) -> Self {
        let state = state.clone();
        Self::new(Some(Slot { state, id }))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let rest = {
            let mut state = lock(&slot.state);
            let rest = state.end(slot.id, self.outcome, Instant::now());
            deliver(&mut state);
            rest
        };
        let Some(rest) = rest else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    sleep(rest).await;
                    slot.release();
                });
            }
            // The process ends.
            Err(_) => slot.release(),
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").finish_non_exhaustive()
    }
}

// === impl Slot ===

impl Slot {
    fn release(self) {
        let mut state = lock(&self.state);
        state.release(self.id, Instant::now());
        deliver(&mut state);
    }
}

// === impl Place ===

impl Place<'_> {
    async fn wait(mut self, give_up: Instant) -> Result<Permit, Refusal> {
        let reply = timeout_at(give_up, &mut self.reply).await;
        let decision = match reply {
            Ok(decision) => decision.ok(),
            Err(_) => self.leave(),
        };
        match decision {
            Some(Ok(id)) => Ok(Permit::at(self.state, id)),
            Some(Err(refusal)) => Err(refusal),
            // A sender is dropped with its decision only.
            None => Err(Refusal::Overloaded),
        }
    }

    /// Leaves the queue; the decision may have been made in the same moment.
    fn leave(&mut self) -> Option<Result<u64, Refusal>> {
        let mut state = lock(self.state);
        match state.leave(&self.call, self.id) {
            Some(refusal) => {
                state.count(refusal);
                Some(Err(refusal))
            }
            None => self.reply.try_recv().ok(),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.state);
        state.leave(&self.call, self.id);
        // Admitted, but nobody waits for it anymore. Empty if the permit was made.
        if let Ok(Ok(id)) = self.reply.try_recv() {
            state.end(id, Outcome::Unused, Instant::now());
            deliver(&mut state);
        }
    }
}

/// Tells waiting calls what was decided. The receivers are there: a place leaves the queue first.
fn deliver(state: &mut State<Reply>) {
    for (reply, decision) in std::mem::take(&mut state.decisions) {
        let _: Result<_, _> = reply.send(decision);
    }
}
