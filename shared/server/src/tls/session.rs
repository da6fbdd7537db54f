//! The client as its TLS handshake identified it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The client as its TLS handshake identified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The requested server name (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// The certificate, verified against `tls.client_ca_file`.
    pub certificate: Option<Certificate>,
}

/// A verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The distinguished name, for example `CN=orders, O=Acme`; may be empty if there are
    /// alternative names.
    pub subject: String,
    /// Subject alternative names (RFC 5280 §4.2.1.6) that are DNS names.
    pub dns_names: Vec<String>,
    /// Subject alternative names that are URIs, for example a SPIFFE id.
    pub uris: Vec<String>,
    /// Subject alternative names that are e-mail addresses.
    pub emails: Vec<String>,
    /// Subject alternative names that are addresses.
    pub addresses: Vec<IpAddr>,
    /// The time after which it is not valid; `None` if this parser can't read the certificate.
    pub not_after: Option<SystemTime>,
    /// The whole certificate.
    pub der: CertificateDer<'static>,
}

// === impl Session ===

impl Session {
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        let chain = connection.peer_certificates().unwrap_or_default();
        Self {
            server_name: connection.server_name().map(str::to_owned),
            certificate: chain.first().map(Certificate::parse),
        }
    }
}

// === impl Certificate ===

impl Certificate {
    /// Returns the name that identifies its holder: the first URI, else the subject, else the first
    /// DNS name or e-mail address. It stays the same when the certificate is renewed.
    pub fn name(&self) -> Option<&str> {
        let subject = Some(&self.subject).filter(|subject| !subject.is_empty());
        let name = self.uris.first().or(subject);
        let name = name.or_else(|| self.dns_names.first());
        name.or_else(|| self.emails.first()).map(String::as_str)
    }

    // The verifier has accepted it. Fields that this parser can't read stay empty, so that no rule
    // about a name matches.
    fn parse(der: &CertificateDer<'_>) -> Self {
        let mut certificate = Self {
            subject: String::new(),
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            addresses: Vec::new(),
            not_after: None,
            der: der.clone().into_owned(),
        };
        let Ok((_, parsed)) = X509Certificate::from_der(der) else {
            return certificate;
        };
        certificate.subject = parsed.subject().to_string();
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        certificate.not_after = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after));
        let names = parsed.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => certificate.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => certificate.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(email) => certificate.emails.push((*email).to_owned()),
                GeneralName::IPAddress(octets) => certificate.addresses.extend(address(octets)),
                _ => {}
            }
        }
        certificate
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).ok()
}
