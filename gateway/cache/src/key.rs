//! The keys that tell questions apart, and callers of a question.

use std::net::IpAddr;

use auth::Identity;
use contract::Scope;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A request, as far as its answer may depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name of the upstream that is asked.
    pub upstream: &'a str,
    /// `/package.Service/Method`.
    pub method: &'a str,
    /// The request message in canonical form.
    pub message: &'a [u8],
    /// The caller, if a credential has proven who it is.
    pub identity: Option<&'a Identity>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The headers of the request, of which `cache-control` is heeded.
    pub headers: &'a HeaderMap,
    /// The metadata that the upstream gets.
    pub metadata: &'a HeaderMap,
    /// When the caller no longer waits.
    pub deadline: Option<Instant>,
    /// The values of the request fields that [`contract::Cache::invalidated_by`] names, in its
    /// order; empty for an entry without a field.
    pub event_keys: &'a [String],
}

/// A digest of all that an answer depends on. It is cryptographic: no one can ask a question whose
/// answer is another's.
pub(crate) type Key = [u8; 32];

/// Metadata in which a caller without an identity may differ and get one answer: those about the
/// connection, the client's software and the trace. Every other name may hold a credential.
const HARMLESS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "baggage",
    "cache-control",
    "content-length",
    "content-type",
    "forwarded",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "te",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
];

/// Credentials of HTTP, under the names that a dialect gives them too.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "cookie",
    "grpcgateway-authorization",
    "grpcgateway-cookie",
];

impl Question<'_> {
    /// Returns whether the upstream may answer by a credential that no one has verified yet: then
    /// an earlier answer says nothing about this caller (RFC 9111 §3.5).
    pub(crate) fn is_unverified(&self, policy: &contract::Cache) -> bool {
        policy.scope == Scope::Private
            && self.identity.is_none()
            && CREDENTIALS
                .iter()
                .any(|name| self.metadata.contains_key(*name))
    }

    pub(crate) fn key(&self, policy: &contract::Cache) -> Key {
        let mut parts = Parts(Sha256::new());
        parts.text(self.upstream);
        parts.text(self.method);
        match (policy.scope, self.identity) {
            (Scope::Shared, _) => parts.text("shared"),
            (Scope::Private, Some(identity)) => {
                parts.text("identity");
                parts.text(&identity.key());
                // They decide which fields a caller sees, and another credential of the same
                // caller may have others.
                parts.all(identity.roles.iter());
                parts.all(identity.scopes.iter());
            }
            (Scope::Private, None) => {
                parts.text("address");
                let address = self.address.map(|address| address.to_string());
                parts.text(&address.unwrap_or_default());
                parts.metadata(self.metadata);
            }
        }
        for name in &policy.vary {
            self.vary(name, &mut parts);
        }
        parts.bytes(self.message);
        parts.0.finalize().into()
    }

    fn vary(&self, name: &str, parts: &mut Parts) {
        parts.text(name);
        let identity = self.identity;
        match name {
            "identity.tenant" => parts.all(identity.iter().filter_map(|own| own.tenant.as_ref())),
            "identity.issuer" => parts.all(identity.iter().map(|own| &own.issuer)),
            "identity.roles" => parts.all(identity.iter().flat_map(|own| &own.roles)),
            "identity.scopes" => parts.all(identity.iter().flat_map(|own| &own.scopes)),
            header => {
                let values: Vec<_> = self.metadata.get_all(header).iter().collect();
                parts.number(values.len());
                let values = values.into_iter();
                values.for_each(|value| parts.bytes(value.as_bytes()));
            }
        }
    }
}

/// Parts of a key, each with its length before it, so that no two lists of parts are the same text.
struct Parts(Sha256);

impl Parts {
    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn all<'t>(&mut self, texts: impl Iterator<Item = &'t String>) {
        let texts: Vec<&String> = texts.collect();
        self.number(texts.len());
        texts.into_iter().for_each(|text| self.text(text));
    }

    fn metadata(&mut self, metadata: &HeaderMap) {
        let is_told = |name: &str| !HARMLESS.contains(&name) && !name.starts_with("x-forwarded-");
        let mut told: Vec<(&str, &[u8])> = metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .filter(|(name, _)| is_told(name))
            .collect();
        told.sort_by_key(|(name, _)| *name);
        self.number(told.len());
        for (name, value) in told {
            self.text(name);
            self.bytes(value);
        }
    }
}
