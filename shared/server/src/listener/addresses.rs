//! The connections of each client address: their bound, and their turns.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use ::admission::Client;
use rpc::lock::lock;

use super::arrivals::client;
use super::turns::Turns;

/// The open connections of each address; clones are the same.
#[derive(Clone)]
pub(crate) struct Addresses {
    /// 0 for no bound.
    bound: usize,
    open: Arc<Mutex<HashMap<Client, Open>>>,
}

#[derive(Default)]
struct Open {
    connections: usize,
    turns: Arc<Turns>,
}

/// One open connection of an address.
pub(crate) struct AddressPermit {
    addresses: Addresses,
    address: Client,
    /// Where the tasks of the address run.
    pub(crate) turns: Arc<Turns>,
}

// === impl Addresses ===

impl Addresses {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            open: Arc::default(),
        }
    }

    /// Counts a connection, or rejects it because its address has too many.
    pub(crate) fn count(&self, address: IpAddr) -> Result<AddressPermit, AddressLimit> {
        let address = client(address);
        let mut open = lock(&self.open);
        let of_address = open.entry(address.clone()).or_default();
        if self.bound > 0 && of_address.connections >= self.bound {
            return Err(AddressLimit);
        }
        of_address.connections += 1;
        Ok(AddressPermit {
            addresses: self.clone(),
            address,
            turns: of_address.turns.clone(),
        })
    }
}

/// The address has as many connections as allowed.
#[derive(Debug)]
pub(crate) struct AddressLimit;

// === impl AddressPermit ===

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.addresses.open);
        if let Some(of_address) = open.get_mut(&self.address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_network() {
        let addresses = Addresses::new(1);
        let at = |text: &str| addresses.count(text.parse().unwrap());
        let _held = at("2001:db8::1").unwrap();
        assert!(at("2001:db8::ffff:2").is_err());
        assert!(at("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn a_connection_that_ends_makes_room_for_its_address_only() {
        let addresses = Addresses::new(1);
        let first: IpAddr = "10.0.0.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let held = addresses.count(first).unwrap();
        assert!(addresses.count(mapped).is_err());
        assert!(addresses.count("10.0.0.2".parse().unwrap()).is_ok());
        drop(held);
        assert!(addresses.count(mapped).is_ok());
        assert!(lock(&addresses.open).is_empty());
    }
}
