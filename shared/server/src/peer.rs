//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::Session;

/// Who is at the other end of the connection: among the extensions of every request.
///
/// Behind a proxy this is the proxy, not the client.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// What its TLS handshake told; `None` without TLS.
    pub tls: Option<Arc<Session>>,
}
