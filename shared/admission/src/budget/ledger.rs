//! The accounts of a budget: how much each client holds, and which of its requests ends first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{BudgetStatus, Excess, HeldRequest};
use crate::client::Client;

/// Entries of requests that have ended, at which an account is tidied up.
const STALE_MAX: usize = 64;

/// The accounts; each request knows the place of its client's.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: usize,
    held: usize,
    refused: [u64; 2],
    places: HashMap<Client, usize>,
    accounts: Vec<Account>,
    free: Vec<usize>,
}

/// The account of a client.
#[derive(Debug, Default)]
struct Account {
    client: Client,
    held: usize,
    /// Requests that hold more than their own bytes, the oldest first, and some that no longer do.
    large: VecDeque<Weak<HeldRequest>>,
    /// Requests among these that do.
    large_count: usize,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            refused: [0; 2],
            places: HashMap::new(),
            accounts: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn status(&self) -> BudgetStatus {
        BudgetStatus {
            limit: self.limit,
            held: self.held,
            clients: self.places.len(),
            refused: self.refused,
        }
    }

    /// Returns the place of a client.
    pub(super) fn place(&mut self, client: &Client) -> usize {
        if let Some(place) = self.places.get(client) {
            return *place;
        }
        let place = self.free.pop().unwrap_or(self.accounts.len());
        if place == self.accounts.len() {
            self.accounts.push(Account::default());
        }
        self.accounts[place].client = client.clone();
        self.places.insert(client.clone(), place);
        place
    }

    /// Counts the own bytes of a new request.
    pub(super) fn admit(
        &mut self,
        place: usize,
        bytes: usize,
        evicted: &mut Vec<Arc<HeldRequest>>,
    ) -> Result<(), Excess> {
        let fits = self.make_room(place, bytes, None, evicted);
        match fits {
            Ok(()) => self.add(place, bytes),
            Err(_) => self.close(place),
        }
        fits
    }

    /// Counts further bytes of a request.
    pub(super) fn grow(
        &mut self,
        request: &Arc<HeldRequest>,
        bytes: usize,
        evicted: &mut Vec<Arc<HeldRequest>>,
    ) -> Result<(), Excess> {
        if request.is_evicted.load(Ordering::Relaxed) {
            return Err(Excess::Client);
        }
        self.make_room(request.place, bytes, Some(request), evicted)?;
        let before = request.counted.fetch_add(bytes, Ordering::Relaxed);
        self.add(request.place, bytes);
        if before == 0 {
            self.accounts[request.place].begin_large(request);
        }
        Ok(())
    }

    /// Releases further bytes of a request.
    pub(super) fn shrink(&mut self, request: &HeldRequest, bytes: usize) {
        if request.is_evicted.load(Ordering::Relaxed) {
            return;
        }
        let before = request.counted.fetch_sub(bytes, Ordering::Relaxed);
        self.remove(request.place, bytes);
        if before == bytes {
            self.accounts[request.place].large_count -= 1;
        }
    }

    /// Releases all bytes of a request.
    pub(super) fn end(&mut self, request: &HeldRequest) {
        let counted = request.counted.load(Ordering::Relaxed);
        if counted > 0 {
            self.shrink(request, counted);
        }
        self.remove(request.place, request.own);
        self.close(request.place);
    }

    /// Ends requests until these bytes fit.
    fn make_room(
        &mut self,
        place: usize,
        bytes: usize,
        asking: Option<&Arc<HeldRequest>>,
        evicted: &mut Vec<Arc<HeldRequest>>,
    ) -> Result<(), Excess> {
        loop {
            let own = self.accounts[place].held.saturating_add(bytes);
            let all = self.held.saturating_add(bytes);
            if own.saturating_add(all) <= self.limit {
                return Ok(());
            }
            let (from, excess) = self.debtor(place, own);
            self.refused[excess as usize] += 1;
            let victim = self.accounts[from].oldest_large(asking).ok_or(excess)?;
            let counted = victim.counted.swap(0, Ordering::Relaxed);
            victim.is_evicted.store(true, Ordering::Release);
            self.accounts[from].large_count -= 1;
            self.remove(from, counted);
            evicted.push(victim);
        }
    }

    /// Returns the client that has to give: the one that asks if it holds more than an equal share,
    /// else the one that holds most.
    fn debtor(&self, place: usize, own: usize) -> (usize, Excess) {
        if own > self.limit / (self.places.len() + 1) {
            return (place, Excess::Client);
        }
        let held = |place: &usize| self.accounts[*place].held;
        let largest = (0..self.accounts.len()).max_by_key(held);
        (largest.unwrap_or(place), Excess::Process)
    }

    fn add(&mut self, place: usize, bytes: usize) {
        self.held += bytes;
        self.accounts[place].held += bytes;
    }

    fn remove(&mut self, place: usize, bytes: usize) {
        self.held -= bytes;
        self.accounts[place].held -= bytes;
    }

    /// Forgets a client that holds nothing.
    fn close(&mut self, place: usize) {
        if self.accounts[place].held == 0 {
            let account = std::mem::take(&mut self.accounts[place]);
            self.places.remove(&account.client);
            self.free.push(place);
        }
    }
}

// === impl Account ===

impl Account {
    fn begin_large(&mut self, request: &Arc<HeldRequest>) {
        if self.large.len() >= 2 * self.large_count + STALE_MAX {
            self.large.retain(|entry| is_large(entry).is_some());
        }
        self.large_count += 1;
        self.large.push_back(Arc::downgrade(request));
    }

    /// Takes the oldest request other than the one that asks.
    fn oldest_large(&mut self, asking: Option<&Arc<HeldRequest>>) -> Option<Arc<HeldRequest>> {
        let mut own = None;
        let oldest = loop {
            let Some(entry) = self.large.pop_front() else {
                break None;
            };
            match is_large(&entry) {
                Some(request) if asking.is_some_and(|asking| Arc::ptr_eq(asking, &request)) => {
                    own = Some(entry);
                }
                Some(request) => break Some(request),
                None => {}
            }
        };
        self.large.extend(own);
        oldest
    }
}

fn is_large(entry: &Weak<HeldRequest>) -> Option<Arc<HeldRequest>> {
    let request = entry.upgrade()?;
    (request.counted.load(Ordering::Relaxed) > 0).then_some(request)
}
