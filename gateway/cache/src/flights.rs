//! Questions that are being asked: one call for all who ask at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use rpc::lock::lock;
use tonic::Status;

use crate::answer::{Entry, Outcome};
use crate::key::Key;

/// The outcome of a call, for all who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) entry: Arc<Entry>,
    /// Whether others than its caller may have it.
    pub(crate) is_kept: bool,
    /// Whether the service was asked, or another cache had the answer.
    pub(crate) outcome: Outcome,
}

type Call = BoxFuture<'static, Result<Fetched, Status>>;

/// A call that whoever waits for it drives on: it ends with its last waiter, not with the first.
pub(crate) type Flight = Shared<Call>;

/// The calls in progress, by question. There are no more than requests that wait for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<Key, (u64, WeakShared<Call>)>,
    last: u64,
}

/// Removes a call from the table when it ends or is given up.
struct Landing {
    flights: Flights,
    key: Key,
    number: u64,
}

impl Flights {
    /// Returns the call in progress with this question, or begins one. Says whether it began.
    pub(crate) fn join(&self, key: Key, begin: impl FnOnce() -> Call) -> (Flight, bool) {
        let mut table = lock(&self.table);
        let known = table.by_key.get(&key).and_then(|(_, call)| call.upgrade());
        // One that has ended is about to be removed.
        if let Some(flight) = known.filter(|flight| flight.peek().is_none()) {
            return (flight, false);
        }
        table.last += 1;
        let landing = Landing {
            flights: self.clone(),
            key,
            number: table.last,
        };
        let call = begin();
        let flight = async move {
            let _landing = landing;
            call.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let number = table.last;
            table.by_key.insert(key, (number, weak));
        }
        (flight, true)
    }

    /// Returns whether a question is being asked.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let table = lock(&self.table);
        let call = table.by_key.get(key).and_then(|(_, call)| call.upgrade());
        // A clone is dropped after the lock: the last one would ask for it.
        drop(table);
        call.is_some_and(|call| call.peek().is_none())
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = lock(&self.flights.table);
        let is_own = table
            .by_key
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number);
        if is_own {
            table.by_key.remove(&self.key);
        }
    }
}
