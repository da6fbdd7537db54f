//! The keys under `[tls]`, and the rustls configuration that they make.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rpc::config::ConfigError;
use rpc::tls::{self, Identity};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use serde::Deserialize;

/// The name of HTTP/2 in ALPN (RFC 9113 §3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// The ALPN offer of the listener, by preference.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// The keys under `[tls]`; `config.default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
pub struct TlsSettings {
    /// PEM file of the certificate chain; empty for no TLS.
    pub cert_file: PathBuf,
    /// PEM file of the key.
    pub key_file: PathBuf,
    /// PEM file of the authorities of client certificates.
    pub client_ca_file: PathBuf,
    /// Whether clients present a certificate.
    pub client_auth: ClientAuth,
    /// Whether connections without TLS are accepted.
    pub mode: TlsMode,
    /// Limit of a handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Interval of checks of the files, in milliseconds.
    pub reload_interval_ms: u64,
}

/// Whether clients present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Not requested.
    None,
    /// Requested; a client without one is accepted, one with an invalid one is rejected.
    Request,
    /// Required.
    Require,
}

/// Whether connections without TLS are accepted on the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// TLS only.
    Require,
    /// Both; the first byte tells them apart.
    Allow,
}

// === impl TlsSettings ===

impl TlsSettings {
    /// Returns whether TLS is configured.
    pub fn is_on(&self) -> bool {
        is_named(&self.cert_file)
    }

    /// Checks that keys are set together; the files are read when the listener starts.
    ///
    /// # Errors
    /// The first key that lacks another one.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (cert, key) = (is_named(&self.cert_file), is_named(&self.key_file));
        let (ca, asks) = (
            is_named(&self.client_ca_file),
            self.client_auth != ClientAuth::None,
        );
        let rules = [
            (
                !cert && key,
                "tls.cert_file",
                "expected a file, as `tls.key_file` has one",
            ),
            (
                cert && !key,
                "tls.key_file",
                "expected a file, as `tls.cert_file` has one",
            ),
            (
                !cert && ca,
                "tls.cert_file",
                "expected a file, as `tls.client_ca_file` has one",
            ),
            (
                asks && !ca,
                "tls.client_ca_file",
                "expected a file, as `tls.client_auth` asks for certificates",
            ),
            (
                ca && !asks,
                "tls.client_auth",
                "expected request or require, as `tls.client_ca_file` has a file",
            ),
            (
                self.handshake_timeout_ms == 0,
                "tls.handshake_timeout_ms",
                "expected a number above 0, got 0",
            ),
            (
                self.reload_interval_ms == 0,
                "tls.reload_interval_ms",
                "expected a number above 0, got 0",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, key, problem)) => Err(invalid(key, problem)),
            None => Ok(()),
        }
    }

    /// Returns the limit of a handshake.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// Returns the interval of checks of the files.
    pub(crate) fn reload_interval(&self) -> Duration {
        Duration::from_millis(self.reload_interval_ms)
    }

    /// Returns the content of the files. Not their times: mounted secrets are swapped by links,
    /// some with a fixed time.
    pub(crate) fn content(&self) -> [Option<Vec<u8>>; 3] {
        [&self.cert_file, &self.key_file, &self.client_ca_file].map(|file| std::fs::read(file).ok())
    }

    /// Reads the files into a configuration.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, ConfigError> {
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("tls", error))?;
        let builder = match self.client_verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let identity = Identity::read(&self.cert_file, &self.key_file);
        let identity = identity.map_err(|error| error.at("tls.cert_file"))?;
        let mut config = builder
            .with_single_cert(identity.chain, identity.key)
            .map_err(|error| invalid("tls.key_file", error))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, ConfigError> {
        if self.client_auth == ClientAuth::None {
            return Ok(None);
        }
        let roots = tls::roots(&self.client_ca_file);
        let roots = roots.map_err(|error| error.at("tls.client_ca_file"))?;
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), tls::provider());
        if self.client_auth == ClientAuth::Request {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build();
        verifier
            .map(Some)
            .map_err(|error| invalid("tls.client_ca_file", error))
    }
}

fn is_named(file: &Path) -> bool {
    !file.as_os_str().is_empty()
}

fn invalid(key: &str, problem: impl Display) -> ConfigError {
    ConfigError::effective(key, problem.to_string())
}
