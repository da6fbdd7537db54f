//! TLS to an upstream: trust, identity, and HTTP/2 as the only protocol.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rpc::config::ConfigError;
use rpc::lock::lock;
use rpc::tls::{self, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::TlsSettings;

/// The protocol name of HTTP/2 in ALPN (RFC 9113 §3.2).
const ALPN: &[u8] = b"h2";

/// Shortest time between two checks of the files, which new connections cause.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Makes TLS connections to the endpoints of one upstream; clones share files and settings.
#[derive(Clone)]
pub(crate) struct Tls {
    server_name: Option<ServerName<'static>>,
    files: Arc<Files>,
}

/// The configuration that the files made, which new connections bring up to date.
struct Files {
    settings: TlsSettings,
    key: String,
    config: ArcSwap<ClientConfig>,
    seen: Mutex<Seen>,
}

/// The content of the files, usable or not, at the last check.
struct Seen {
    content: [Option<Vec<u8>>; 3],
    at: Instant,
}

impl Tls {
    /// Reads the files of the settings, which `key` holds.
    ///
    /// # Errors
    /// The key of an unusable file or name.
    pub(crate) fn new(settings: TlsSettings, key: String) -> Result<Self, ConfigError> {
        let server_name = settings.server_name.clone().map(|name| {
            let parsed = ServerName::try_from(name.clone());
            let problem = format!("`{name}` is not a host name");
            parsed.map_err(|_| ConfigError::effective(format!("{key}.server_name"), problem))
        });
        // In this order: a change in between is seen by the next check.
        let seen = Mutex::new(Seen {
            content: content(&settings),
            at: Instant::now(),
        });
        let config = ArcSwap::new(config(&settings, &key)?);
        Ok(Self {
            server_name: server_name.transpose()?,
            files: Arc::new(Files {
                settings,
                key,
                config,
                seen,
            }),
        })
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?,
        };
        let connector = TlsConnector::from(self.files.current().await);
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(|error| format!("TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
            Ok(stream)
        } else {
            Err("TLS: the server does not offer HTTP/2".to_owned())
        }
    }
}

// === impl Files ===

impl Files {
    /// Returns the configuration of the files as they are now; while they are invalid, the last
    /// valid one.
    async fn current(self: &Arc<Self>) -> Arc<ClientConfig> {
        let is_due = self.settings.reads_files() && lock(&self.seen).at.elapsed() > CHECK_INTERVAL;
        if is_due {
            let this = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || this.reload()).await {
                tracing::warn!(%error, "certificate files not checked");
            }
        }
        self.config.load_full()
    }

    // A chain and its key are two files, which may not match for a moment.
    fn reload(&self) {
        let content = content(&self.settings);
        let mut seen = lock(&self.seen);
        seen.at = Instant::now();
        if seen.content == content {
            return;
        }
        seen.content = content;
        match config(&self.settings, &self.key) {
            Ok(config) => self.config.store(config),
            Err(error) => {
                tracing::error!(%error, "certificates not reloaded, the old ones stay in force");
            }
        }
    }
}

fn content(settings: &TlsSettings) -> [Option<Vec<u8>>; 3] {
    let files = [&settings.ca, &settings.certificate, &settings.key];
    files.map(|file| std::fs::read(file.as_ref()?).ok())
}

fn config(settings: &TlsSettings, key: &str) -> Result<Arc<ClientConfig>, ConfigError> {
    let key = |name: &str| format!("{key}.{name}");
    let refuse = |name: &str, problem: String| ConfigError::effective(key(name), problem);
    let roots = match &settings.ca {
        Some(file) => tls::roots(file).map_err(|error| error.at(&key("ca")))?,
        None => system_roots(),
    };
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse("ca", error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(file)) => {
            let identity = Identity::read(certificate, file);
            let identity = identity.map_err(|error| error.at(&key("certificate")))?;
            builder
                .with_client_auth_cert(identity.chain, identity.key)
                .map_err(|error| refuse("key", error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Returns the trust anchors of the system. Without any, the first handshake fails.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "system trust anchor not read");
    }
    roots.add_parsable_certificates(loaded.certs);
    roots
}
