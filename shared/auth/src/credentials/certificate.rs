//! Callers that a client certificate names (RFC 8705 §2, SPIFFE X.509-SVID).

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::identity::{Credential, Identity};
use crate::rejection::Rejection;
use crate::settings::{CertificateRule, CertificateSettings};
use crate::verified::Verified;

/// The authority of certificates that are not of a SPIFFE trust domain.
const ISSUER: &str = "certificates";

const SPIFFE: &str = "spiffe://";

/// A client certificate that the handshake has verified.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The distinguished name.
    pub subject: &'a str,
    /// Alternative names that are URIs, for example a SPIFFE ID.
    pub uris: &'a [String],
    /// Alternative names that are DNS names.
    pub dns_names: &'a [String],
    /// The time after which it is not valid.
    pub expires: Option<SystemTime>,
    /// The whole certificate.
    pub der: &'a [u8],
}

/// Makes identities of certificates.
pub(crate) struct Certificates {
    is_on: bool,
    rules: Vec<CertificateRule>,
}

// === impl Certificates ===

impl Certificates {
    pub(crate) fn new(settings: &CertificateSettings) -> Self {
        Self {
            is_on: settings.accept,
            rules: settings.rules.clone(),
        }
    }

    /// Returns whether a certificate alone is a credential.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns the caller that a certificate names.
    ///
    /// # Errors
    /// A certificate that has expired since the handshake, or without a name.
    pub(crate) fn verify(
        &self,
        certificate: &Certificate<'_>,
        now: SystemTime,
    ) -> Result<Verified, Rejection> {
        if certificate.expires.is_some_and(|expires| now >= expires) {
            return Err(Rejection::Expired);
        }
        let uri = certificate.uris.first().map(String::as_str);
        let name = uri.or(Some(certificate.subject).filter(|name| !name.is_empty()));
        let name = name.or(certificate.dns_names.first().map(String::as_str));
        let subject = name.ok_or(Rejection::Claim)?;
        let rule = self.rules.iter().find(|rule| rule.matches(certificate));
        let names = |of: fn(&CertificateRule) -> &Vec<String>| -> BTreeSet<String> {
            rule.map(of).into_iter().flatten().cloned().collect()
        };
        let identity = Identity {
            issuer: issuer(subject),
            subject: subject.to_owned(),
            tenant: rule.and_then(|rule| rule.tenant.clone()),
            roles: names(|rule| &rule.roles),
            scopes: names(|rule| &rule.scopes),
            credential: Credential::Certificate,
            credential_id: None,
            expires: certificate.expires,
        };
        Ok(Verified::new(identity, None, None))
    }
}

/// Returns the trust domain of a SPIFFE ID (`spiffe://domain/path`), else the common authority.
fn issuer(subject: &str) -> String {
    match subject.strip_prefix(SPIFFE) {
        Some(rest) => {
            let domain = rest.split('/').next().unwrap_or_default();
            format!("{SPIFFE}{domain}")
        }
        None => ISSUER.to_owned(),
    }
}

// === impl CertificateRule ===

impl CertificateRule {
    fn matches(&self, certificate: &Certificate<'_>) -> bool {
        let any = |pattern: &Option<String>, names: &[String]| match pattern {
            None => true,
            Some(pattern) => names.iter().any(|name| is_like(name, pattern)),
        };
        let subject = self.subject.as_ref();
        any(&self.uri, certificate.uris)
            && any(&self.dns, certificate.dns_names)
            && subject.is_none_or(|pattern| is_like(certificate.subject, pattern))
    }
}

/// Returns whether a name fits a pattern, in which one `*` stands for any text.
fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
    }
}
