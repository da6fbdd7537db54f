//! Credentials that say nothing by themselves: API keys, opaque tokens, certificates.

mod certificate;
mod introspection;
mod keys;

pub use certificate::Certificate;
pub(crate) use certificate::Certificates;
pub(crate) use introspection::Introspection;
pub(crate) use keys::ApiKeys;
