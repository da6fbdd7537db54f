//! The settings of a server.

mod identity;
mod listener;
mod tls;

use std::net::{AddrParseError, SocketAddr};
use std::time::Duration;

use ::admission::AdmissionSettings;
use telemetry::observe::AccessLogSettings;

pub use identity::IdentitySettings;
pub use listener::ListenerSettings;
pub(crate) use tls::HTTP2;
pub use tls::{ClientAuth, TlsMode, TlsSettings};

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bound of the drain.
    pub drain_timeout: Duration,
    /// Largest request message of a method that is validated, in bytes.
    pub max_message_bytes: usize,
    /// Connections served at once.
    pub max_connections: usize,
    /// Whether there is `GET /metrics`.
    pub metrics: bool,
    /// Address of the listener for operators; empty for none.
    pub admin_listen: String,
    /// File of the tokens of operators; empty for none.
    pub operator_tokens: String,
    /// Bounds of a connection and of a request.
    pub listener: ListenerSettings,
    /// The adaptive limit of concurrent calls.
    pub admission: AdmissionSettings,
    /// TLS of the listener.
    pub tls: TlsSettings,
    /// The name of this process to others, and the others that it believes.
    pub identity: IdentitySettings,
    /// One line per request.
    pub access_log: AccessLogSettings,
}

// === impl Settings ===

impl Settings {
    /// Returns the address of the listener for operators; `None` without one.
    ///
    /// # Errors
    /// An `admin_listen` that is not `host:port`.
    pub fn admin_address(&self) -> Result<Option<SocketAddr>, AddrParseError> {
        match self.admin_listen.as_str() {
            "" => Ok(None),
            address => address.parse().map(Some),
        }
    }
}
