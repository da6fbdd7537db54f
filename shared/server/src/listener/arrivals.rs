//! Accepted connections that wait to be served, in turns of their clients.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use ::admission::Client;

/// Waiting connections of all clients; further ones stay in the listen queue of the system.
pub(crate) const TOTAL_MAX: usize = 256;

/// Waiting connections of one client. A connection costs about 50 µs of one processor: its last
/// one is served within a few milliseconds, if it is alone.
const CLIENT_MAX: usize = 64;

/// The listen queue is one for all addresses, and who fills it keeps the others waiting. So it is
/// emptied at once, and clients get their turns here.
pub(crate) struct Arrivals<T> {
    queues: HashMap<Client, VecDeque<(T, SocketAddr)>>,
    /// Clients with a queue, in the order of their turns.
    turns: VecDeque<Client>,
    count: usize,
}

// === impl Arrivals ===

impl<T> Arrivals<T> {
    pub(crate) fn new() -> Self {
        Self {
            queues: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= TOTAL_MAX
    }

    /// Adds a connection; closes it if its client has too many here.
    pub(crate) fn push(&mut self, connection: T, address: SocketAddr) {
        let client = client(address.ip());
        let queue = self.queues.entry(client.clone()).or_default();
        if queue.len() >= CLIENT_MAX {
            tracing::debug!(peer = %address, "too many connections at once from one address");
            return;
        }
        if queue.is_empty() {
            self.turns.push_back(client);
        }
        queue.push_back((connection, address));
        self.count += 1;
    }

    /// Takes the connection whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(T, SocketAddr)> {
        let client = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&client)?;
        let next = queue.pop_front()?;
        match queue.is_empty() {
            true => drop(self.queues.remove(&client)),
            false => self.turns.push_back(client),
        }
        self.count -= 1;
        Some(next)
    }
}

/// The client of an address; IPv4 clients count as such on IPv6 sockets too.
pub(crate) fn client(address: IpAddr) -> Client {
    Client::at(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(number: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], port))
    }

    #[test]
    fn a_client_with_many_connections_leaves_every_second_turn_to_another() {
        let mut arrivals = Arrivals::new();
        for port in 0..10 {
            arrivals.push((), from(1, port));
        }
        arrivals.push((), from(2, 0));
        arrivals.push((), from(2, 1));
        let served: Vec<_> = std::iter::from_fn(|| arrivals.pop()).collect();
        let order: Vec<_> = served.iter().map(|(_, address)| *address).collect();
        assert_eq!(order[..4], [from(1, 0), from(2, 0), from(1, 1), from(2, 1)]);
        assert_eq!(order.len(), 12);
        assert!(arrivals.is_empty() && arrivals.queues.is_empty());
    }

    #[test]
    fn a_client_fills_its_own_part_only() {
        let mut arrivals = Arrivals::new();
        for port in 0..500 {
            arrivals.push((), from(1, port));
        }
        assert!(!arrivals.is_full());
        arrivals.push((), from(2, 0));
        assert_eq!(arrivals.count, CLIENT_MAX + 1);
        for number in 3..10 {
            (0..500).for_each(|port| arrivals.push((), from(number, port)));
        }
        assert!(arrivals.is_full());
    }
}
