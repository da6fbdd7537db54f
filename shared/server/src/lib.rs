#![doc = include_str!("../README.md")]

mod admission;
mod handler;
mod host;
mod layers;
mod listener;
mod operator;
mod peer;
mod probes;
mod server;
mod settings;
mod tls;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use host::Host;
pub use operator::{OPERATOR_PREFIX, Operator};
pub use peer::Peer;
pub use server::Server;
pub use settings::{ClientAuth, ListenerSettings, Settings, TlsMode, TlsSettings};
pub use tls::{Certificate, Session};
