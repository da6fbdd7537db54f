//! The peer of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::Session;

/// The peer of the connection, an extension of every request. With a proxy it is the proxy, not the
/// client.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its TLS session; `None` without TLS.
    pub tls: Option<Arc<Session>>,
}
