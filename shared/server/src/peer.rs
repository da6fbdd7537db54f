//! The peer of a connection.

mod proxies;

use std::net::SocketAddr;
use std::sync::Arc;

use ::admission::Client;

use crate::tls::Session;

pub use proxies::is_of_proxies;

/// The peer of the connection, an extension of every request. With a proxy it is the proxy, not the
/// client.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its TLS session; `None` without TLS.
    pub tls: Option<Arc<Session>>,
}

// === impl Peer ===

impl Peer {
    /// Returns the client that the peer's verified certificate names; `None` without a name.
    pub fn certified(&self) -> Option<Client> {
        let certificate = self.tls.as_ref()?.certificate.as_ref()?;
        certificate
            .name()
            .map(|name| Client::Certificate(name.into()))
    }

    /// Returns the client at the other end of the connection: that of its certificate, else that
    /// of its address.
    pub(crate) fn client(&self) -> Client {
        let by_address = || Client::at(self.address.ip());
        self.certified().unwrap_or_else(by_address)
    }
}
