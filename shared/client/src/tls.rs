//! TLS to an upstream: trust, identity, and HTTP/2 as the only protocol.

use std::sync::Arc;

use rpc::config::ConfigError;
use rpc::tls::{self, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::TlsSettings;

/// The protocol name of HTTP/2 in ALPN (RFC 9113 §3.2).
const ALPN: &[u8] = b"h2";

/// Makes TLS connections to the endpoints of one upstream.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files of the settings, whose key is `prefix`.
    ///
    /// # Errors
    /// The key of an unusable file or name.
    pub(crate) fn new(settings: &TlsSettings, prefix: &str) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("{prefix}.tls.{name}");
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
                let identity = Identity::read(certificate, file)
                    .map_err(|error| error.at(&key("certificate")))?;
                builder
                    .with_client_auth_cert(identity.chain, identity.key)
                    .map_err(|error| refuse("key", error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        let server_name = settings.server_name.clone().map(|name| {
            let parsed = ServerName::try_from(name.clone());
            parsed.map_err(|_| refuse("server_name", format!("`{name}` is not a host name")))
        });
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: server_name.transpose()?,
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
        let connected = self.connector.connect(name, stream).await;
        let stream = connected.map_err(|error| format!("TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
            Ok(stream)
        } else {
            Err("TLS: the server does not offer HTTP/2".to_owned())
        }
    }
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
