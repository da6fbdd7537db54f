//! What a TLS handshake told about the client.

use std::net::IpAddr;

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What a TLS handshake told about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The name that the client asked for (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// Its certificate, verified against `tls.client_ca_file`.
    pub certificate: Option<Certificate>,
}

/// A verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The distinguished name, for example `CN=orders, O=Acme`; may be empty where alternative names say it all.
    pub subject: String,
    /// Subject alternative names (RFC 5280 §4.2.1.6) that are DNS names.
    pub dns_names: Vec<String>,
    /// Subject alternative names that are URIs, for example a SPIFFE id.
    pub uris: Vec<String>,
    /// Subject alternative names that are e-mail addresses.
    pub emails: Vec<String>,
    /// Subject alternative names that are addresses.
    pub addresses: Vec<IpAddr>,
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
    // The verifier has accepted it: what this parser can't read is left empty, so that no rule about a name matches.
    fn parse(der: &CertificateDer<'_>) -> Self {
        let mut certificate = Self {
            subject: String::new(),
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            addresses: Vec::new(),
            der: der.clone().into_owned(),
        };
        let Ok((_, parsed)) = X509Certificate::from_der(der) else {
            return certificate;
        };
        certificate.subject = parsed.subject().to_string();
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
