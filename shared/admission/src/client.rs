//! The client that a call is counted for, and what else admission has to know of a call.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use contract::Criticality;
use tokio::time::Instant;

/// The client that shares are counted for.
///
/// The strongest identity that is known, in this order: an authenticated principal, a certificate,
/// an address. Two calls with equal values share one share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Client {
    /// The name that an authentication has found.
    Principal(Arc<str>),
    /// The subject of a verified client certificate.
    Certificate(Arc<str>),
    /// An address; of IPv6 its /64, which is what one customer gets (RFC 6177).
    Address(IpAddr),
    /// No identity: all of these share one share.
    #[default]
    Unknown,
}

/// A call that asks for admission.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The client that the call is counted for.
    pub client: Client,
    /// The criticality of the method, from its contract.
    pub criticality: Criticality,
    /// The time at which the caller gives up; `None` for never.
    pub deadline: Option<Instant>,
    /// The class of calls with a service time of its own, see [`Request::class_of`].
    pub class: u64,
}

// === impl Client ===

impl Client {
    /// Returns the client at an address: IPv4 as it is (also when mapped into IPv6), IPv6 by /64.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(prefix))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

// === impl Request ===

impl Request {
    /// Returns the class of a method, from its path.
    pub fn class_of(path: &str) -> u64 {
        hash(path)
    }
}

pub(crate) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_64_bit_prefix() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::7"), at("2001:db8:1:2:ffff::1"));
        assert_ne!(at("2001:db8:1:2::7"), at("2001:db8:1:3::7"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
