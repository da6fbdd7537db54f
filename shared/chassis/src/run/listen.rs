//! The listener of a process, on the port that it is told, or on the next free one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Layers;

/// Length of the listen queue.
const BACKLOG: u32 = 1024;

/// Ports that are tried after the default one.
const FURTHER_PORTS: u16 = 100;

/// Where the address comes from.
#[derive(Debug)]
pub(super) struct ListenSource {
    /// The file, variable or flag; `None` for the default, which nobody counts on.
    chosen: Option<String>,
}

// === impl ListenSource ===

impl ListenSource {
    pub(super) fn of(layers: &Layers) -> Self {
        let is_default = layers.is_default("listen");
        Self {
            chosen: (!is_default).then(|| layers.origin("listen")),
        }
    }

    /// Listens on an address. A port that is taken is an error if somebody chose it; of a default
    /// the next free one is taken.
    pub(super) fn open(
        &self,
        address: SocketAddr,
        reuse_port: bool,
    ) -> anyhow::Result<TcpListener> {
        let taken = match listen(address, reuse_port) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => error,
            Err(error) => {
                return Err(
                    anyhow!(error).context(format!("key `listen`: can't listen on {address}"))
                );
            }
        };
        if let Some(origin) = &self.chosen {
            let problem = format!(
                "key `listen`: {address} is taken (from {origin}); stop what listens there, or choose another with `--listen`"
            );
            return Err(anyhow!(taken).context(problem));
        }
        let further = (1..=FURTHER_PORTS).filter_map(|step| address.port().checked_add(step));
        for port in further {
            let next = SocketAddr::new(address.ip(), port);
            if let Ok(listener) = listen(next, reuse_port) {
                tracing::warn!(
                    "port {} is taken, so port {port} is used; `--listen` chooses another",
                    address.port()
                );
                return Ok(listener);
            }
        }
        let problem =
            format!("key `listen`: {address} and the {FURTHER_PORTS} ports after it are taken");
        Err(anyhow!(taken).context(problem))
    }
}

fn listen(address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_default_port_that_is_taken_moves_to_the_next_free_one() {
        let first = listen(([127, 0, 0, 1], 0).into(), false).unwrap();
        let address = first.local_addr().unwrap();
        let moved = ListenSource { chosen: None }.open(address, false).unwrap();
        let moved = moved.local_addr().unwrap();
        assert_eq!(moved.ip(), address.ip());
        assert!(moved.port() > address.port(), "{moved}");
    }

    #[tokio::test]
    async fn a_chosen_port_that_is_taken_is_an_error_that_names_the_key() {
        let first = listen(([127, 0, 0, 1], 0).into(), false).unwrap();
        let address = first.local_addr().unwrap();
        let chosen = Some("the command line".to_owned());
        let error = ListenSource { chosen }.open(address, false).unwrap_err();
        let text = format!("{error:#}");
        for part in [
            "`listen`",
            &address.to_string(),
            "the command line",
            "--listen",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}
