#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

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
pub mod violations;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use ::admission::{AdmissionSettings, Budget};
pub use host::Host;
pub use listener::Tunnel;
pub use operator::{OPERATOR_PREFIX, Operator, OperatorName, is_from_this_machine};
pub use peer::{Peer, is_of_proxies};
pub use server::{Calls, Server};
pub use settings::{
    ClientAuth, IdentitySettings, ListenerSettings, Settings, TlsMode, TlsSettings,
};
pub use tls::{Certificate, Session};
