//! TLS of the listener: new connections get the certificates that the files hold now.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rpc::config::ConfigError;
use rpc::lock::lock;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::settings::{TlsMode, TlsSettings};

mod session;

#[cfg(test)]
mod tests;

pub use session::{Certificate, Session};

/// The TLS of a listener.
pub(crate) struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
    /// What the files held when they were last looked at, usable or not.
    seen: Mutex<[Option<Vec<u8>>; 3]>,
}

// === impl Tls ===

impl Tls {
    /// Reads the files; `None` where the settings name none.
    ///
    /// # Errors
    /// Names the key whose file can't be used.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Option<Arc<Self>>, ConfigError> {
        if !settings.is_on() {
            return Ok(None);
        }
        // In this order: what changes between the two is seen at the next look.
        let seen = settings.content();
        let config = settings.server_config()?;
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            config: ArcSwap::new(config),
            seen: Mutex::new(seen),
        })))
    }

    /// Serves the handshake of a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Whether a connection that does not begin with a handshake is served.
    pub(crate) fn allows_plain(&self) -> bool {
        self.settings.mode == TlsMode::Allow
    }

    /// Bound of a handshake.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.settings.handshake_timeout()
    }

    /// Looks at the files again and again until `stop`.
    pub(crate) async fn follow_files(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.reload_interval());
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let this = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || this.reload()).await {
                tracing::warn!(%error, "certificate files were not looked at");
            }
        }
    }

    // A chain and its key are two files, so for a moment they may not fit; the last that did stay until they do again.
    fn reload(&self) {
        let content = self.settings.content();
        let mut seen = lock(&self.seen);
        if *seen == content {
            return;
        }
        *seen = content;
        match self.settings.server_config() {
            Ok(config) => {
                self.config.store(config);
                tracing::info!(cert_file = %self.settings.cert_file.display(), "certificates reloaded");
            }
            Err(error) => tracing::error!(%error, "certificates not reloaded, the old ones stay"),
        }
    }
}
