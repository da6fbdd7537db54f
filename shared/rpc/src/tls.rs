//! Certificates, keys and trust anchors in PEM files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::ConfigError;

/// An unusable PEM file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct PemError {
    path: PathBuf,
    problem: String,
}

/// A certificate chain and the key of its first certificate.
#[derive(Debug)]
pub struct Identity {
    /// The end-entity certificate, then its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8, PKCS #1 or SEC 1.
    pub key: PrivateKeyDer<'static>,
}

/// Returns the cryptography of every TLS connection of this process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Reads the trust anchors in a file.
///
/// # Errors
/// A file that can't be read, or with anything but certificates of authorities.
pub fn roots(file: &Path) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.map_err(|error| PemError::new(file, error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain: Vec<_> = read.map_err(|error| PemError::from_pem(file, error))?;
    if chain.is_empty() {
        return Err(PemError::new(file, "holds no certificate"));
    }
    Ok(chain)
}

// === impl Identity ===

impl Identity {
    /// Reads a chain and its key, which may be in one file.
    ///
    /// # Errors
    /// A file that can't be read, or without a certificate or key.
    pub fn read(certificates_file: &Path, key_file: &Path) -> Result<Self, PemError> {
        let chain = certificates(certificates_file)?;
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| match error {
            pem::Error::NoItemsFound => PemError::new(key_file, "holds no private key"),
            other => PemError::from_pem(key_file, other),
        })?;
        Ok(Self { chain, key })
    }
}

// === impl PemError ===

impl PemError {
    /// Returns the error of the configuration key that names the file.
    pub fn at(self, key: &str) -> ConfigError {
        ConfigError::effective(key, self.to_string())
    }

    fn new(path: &Path, problem: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    fn from_pem(path: &Path, error: pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::new(path, error),
            other => Self::new(path, format!("not PEM: {other}")),
        }
    }
}
