//! The queue: fair between clients by slot time (start-time fair queueing), the newest first while
//! it is overloaded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use contract::Criticality;
use tokio::time::Instant;

use crate::estimate::Keys;

/// Clients that are remembered at once; beyond it those without calls are forgotten.
const MAX_CLIENTS: usize = 4096;

/// One line for each criticality, the lowest first.
const LINES: usize = 3;

/// The clients with calls, and their waiting calls.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    clients: HashMap<u64, Share<W>>,
    /// Those with waiting calls.
    backlogged: Vec<u64>,
    waiting: usize,
    in_flight: usize,
    /// Start tag of the last call that began, in seconds of slot time.
    virtual_time: f64,
}

/// The calls of one client.
#[derive(Debug)]
struct Share<W> {
    /// Start tag of its next call.
    tag: f64,
    lines: [VecDeque<Waiter<W>>; LINES],
    waiting: usize,
    in_flight: usize,
}

/// A waiting call.
#[derive(Debug)]
pub(crate) struct Waiter<W> {
    /// Increases with every call.
    pub(crate) id: u64,
    pub(crate) call: Call,
    pub(crate) since: Instant,
    /// The last time at which it may begin.
    pub(crate) give_up: Instant,
    pub(crate) handle: W,
}

/// A call, as far as the queue is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) client: u64,
    pub(crate) criticality: Criticality,
    pub(crate) keys: Keys,
    pub(crate) deadline: Option<Instant>,
    /// Expected slot time, in seconds.
    pub(crate) cost: f64,
}

/// The order of the waiting calls of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

// === impl Queue ===

impl<W> Queue<W> {
    pub(crate) fn new() -> Self {
        Self {
            clients: HashMap::new(),
            backlogged: Vec::new(),
            waiting: 0,
            in_flight: 0,
            virtual_time: 0.0,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns whether a client has less than half of its even share of `limit` slots, and nothing
    /// in the queue.
    pub(crate) fn is_quiet(&self, client: u64, limit: usize) -> bool {
        match self.clients.get(&client) {
            None => true,
            Some(share) => {
                let even = limit / self.clients.len();
                share.waiting == 0 && (share.in_flight == 0 || share.in_flight < even / 2)
            }
        }
    }

    /// Returns whether a client has more calls than is even, beside other clients.
    pub(crate) fn is_over_share(&self, client: u64) -> bool {
        let all = self.clients.len();
        let own = self.clients.get(&client);
        let own = own.map_or(0, |share| share.in_flight + share.waiting);
        all > 1 && own * all * 2 > (self.in_flight + self.waiting) * 3
    }

    /// Begins a call that did not wait.
    pub(crate) fn begin(&mut self, call: &Call) {
        self.share(call.client);
        self.charge(call);
    }

    /// Ends a call that has held its slot for `held`, in seconds.
    pub(crate) fn end(&mut self, call: &Call, held: f64) {
        let virtual_time = self.virtual_time;
        let Some(share) = self.clients.get_mut(&call.client) else {
            return;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        share.in_flight = share.in_flight.saturating_sub(1);
        share.tag += (held - call.cost) * weight(call.criticality);
        if share.is_idle() && share.tag <= virtual_time {
            self.clients.remove(&call.client);
        }
    }

    pub(crate) fn push(&mut self, waiter: Waiter<W>) {
        let client = waiter.call.client;
        let share = self.share(client);
        let line = &mut share.lines[line(waiter.call.criticality)];
        line.push_back(waiter);
        share.waiting += 1;
        let is_first = share.waiting == 1;
        self.waiting += 1;
        if is_first {
            self.backlogged.push(client);
        }
    }

    /// Takes the call that is next, and charges its client.
    ///
    /// The client with the least slot time is next, and those within `slack` seconds of it: among
    /// them the most critical call, then the newest or the oldest one.
    pub(crate) fn pop(&mut self, order: Order, slack: f64) -> Option<Waiter<W>> {
        let tags = self
            .backlogged
            .iter()
            .filter_map(|key| self.clients.get(key));
        let first = tags.map(|share| share.tag).min_by(f64::total_cmp)?;
        let near = self.backlogged.iter().filter_map(|key| {
            let share = self.clients.get(key)?;
            let (line, id) = share.next(order)?;
            (share.tag <= first + slack).then_some((line, id, *key))
        });
        let best = match order {
            Order::NewestFirst => near.max_by_key(|(line, id, _)| (*line, *id)),
            Order::OldestFirst => near.max_by_key(|(line, id, _)| (*line, u64::MAX - *id)),
        };
        let (line, _, client) = best?;
        let lines = &mut self.clients.get_mut(&client)?.lines;
        let waiter = match order {
            Order::NewestFirst => lines[line].pop_back(),
            Order::OldestFirst => lines[line].pop_front(),
        }?;
        self.virtual_time = self.virtual_time.max(first);
        self.left(client);
        self.charge(&waiter.call);
        Some(waiter)
    }

    /// Returns how long the oldest call has been waiting.
    pub(crate) fn oldest(&self, now: Instant) -> Duration {
        let shares = self
            .backlogged
            .iter()
            .filter_map(|key| self.clients.get(key));
        let fronts = shares.flat_map(|share| share.lines.iter().filter_map(VecDeque::front));
        let since = fronts.map(|waiter| waiter.since).min();
        since.map_or(Duration::ZERO, |since| now - since)
    }

    /// Takes the oldest call of a client with several that has been waiting for more than
    /// `patience`. The only call of a client stays: it is not what the overload consists of.
    pub(crate) fn pop_stale(&mut self, patience: Duration, now: Instant) -> Option<Waiter<W>> {
        let is_stale = |waiter: &Waiter<W>| now - waiter.since > patience;
        let found = self.backlogged.iter().find_map(|key| {
            let share = self.clients.get(key).filter(|share| share.waiting > 1)?;
            let stale = |line: &VecDeque<_>| line.front().is_some_and(is_stale);
            let line = share.lines.iter().position(stale)?;
            Some((*key, line))
        });
        let (client, line) = found?;
        let waiter = self.clients.get_mut(&client)?.lines[line].pop_front();
        self.left(client);
        waiter
    }

    /// Takes the oldest of the least critical calls of the largest backlog.
    pub(crate) fn pop_excess(&mut self) -> Option<Waiter<W>> {
        let size = |key: &&u64| self.clients.get(*key).map_or(0, |share| share.waiting);
        let client = *self.backlogged.iter().max_by_key(size)?;
        let mut lines = self.clients.get_mut(&client)?.lines.iter_mut();
        let waiter = lines.find_map(VecDeque::pop_front);
        self.left(client);
        waiter
    }

    /// Takes a call out of the queue.
    pub(crate) fn remove(&mut self, call: &Call, id: u64) -> Option<Waiter<W>> {
        let share = self.clients.get_mut(&call.client)?;
        let line = &mut share.lines[line(call.criticality)];
        // Ordered by number.
        let at = line.binary_search_by_key(&id, |waiter| waiter.id).ok()?;
        let waiter = line.remove(at);
        self.left(call.client);
        waiter
    }

    fn share(&mut self, client: u64) -> &mut Share<W> {
        let virtual_time = self.virtual_time;
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&client) {
            self.clients.retain(|_, share| !share.is_idle());
        }
        let share = self.clients.entry(client).or_insert_with(|| Share {
            tag: virtual_time,
            lines: std::array::from_fn(|_| VecDeque::new()),
            waiting: 0,
            in_flight: 0,
        });
        if share.waiting == 0 {
            share.tag = share.tag.max(virtual_time);
        }
        share
    }

    fn charge(&mut self, call: &Call) {
        if let Some(share) = self.clients.get_mut(&call.client) {
            if self.waiting == 0 {
                self.virtual_time = self.virtual_time.max(share.tag);
            }
            share.tag += call.cost * weight(call.criticality);
            share.in_flight += 1;
            self.in_flight += 1;
        }
    }

    fn left(&mut self, client: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        share.waiting = share.waiting.saturating_sub(1);
        if share.waiting == 0 {
            self.backlogged.retain(|key| *key != client);
        }
    }
}

// === impl Share ===

impl<W> Share<W> {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting == 0
    }

    /// Returns the line and the number of its next call.
    fn next(&self, order: Order) -> Option<(usize, u64)> {
        let (line, waiters) = self
            .lines
            .iter()
            .enumerate()
            .rfind(|(_, line)| !line.is_empty())?;
        let waiter = match order {
            Order::NewestFirst => waiters.back(),
            Order::OldestFirst => waiters.front(),
        };
        Some((line, waiter?.id))
    }
}

fn line(criticality: Criticality) -> usize {
    match criticality {
        Criticality::Sheddable => 0,
        Criticality::Normal => 1,
        Criticality::Critical => 2,
    }
}

/// The price of slot time: a critical call costs its client less. Not a strict priority, with which
/// one client could take everything by calling critical methods.
fn weight(criticality: Criticality) -> f64 {
    match criticality {
        Criticality::Sheddable => 4.0,
        Criticality::Normal => 1.0,
        Criticality::Critical => 0.25,
    }
}
