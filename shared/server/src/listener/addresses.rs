//! How many connections each address has, bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rpc::lock::lock;

/// The open connections of each address; clones are the same.
#[derive(Clone)]
pub(crate) struct Addresses {
    /// 0 for none.
    bound: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One open connection, until it is dropped.
pub(crate) struct Counted {
    addresses: Addresses,
    address: IpAddr,
}

// === impl Addresses ===

impl Addresses {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            open: Arc::default(),
        }
    }

    /// Counts a connection, or refuses it because its address has enough.
    pub(crate) fn count(&self, address: IpAddr) -> Result<Option<Counted>, TooMany> {
        if self.bound == 0 {
            return Ok(None);
        }
        // One client of IPv4 is one client, however the socket shows it.
        let address = address.to_canonical();
        let mut open = lock(&self.open);
        let count = open.entry(address).or_default();
        if *count >= self.bound {
            return Err(TooMany);
        }
        *count += 1;
        Ok(Some(Counted {
            addresses: self.clone(),
            address,
        }))
    }
}

/// The address has as many connections as one may.
#[derive(Debug)]
pub(crate) struct TooMany;

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = lock(&self.addresses.open);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
