//! Payloads of facts as `google.protobuf.Any`, where readers of the contract can read them.

use descriptors::{CompileError, NameOptions, Types, put_canonical};
use prost_types::Any;

const URL_PREFIX: &str = "type.googleapis.com/";

/// The types of a contract.
pub(crate) struct Payloads {
    types: Types,
}

/// A payload that can be read, or its bytes.
pub(crate) struct Payload {
    pub(crate) message: Option<Any>,
    pub(crate) raw: Vec<u8>,
}

// === impl Payloads ===

impl Payloads {
    /// # Errors
    /// A descriptor set that does not resolve.
    pub(crate) fn new(descriptor_set: &[u8]) -> Result<Self, CompileError> {
        let loaded = descriptors::load(descriptor_set)?;
        Ok(Self {
            types: Types::new(&loaded.pool, NameOptions::default()),
        })
    }

    /// Wraps `bytes` if they are a message of type `kind`: one that is not would make the whole
    /// response unreadable as JSON.
    pub(crate) fn wrap(&self, kind: &str, bytes: Vec<u8>) -> Payload {
        let type_url = format!("{URL_PREFIX}{kind}");
        match self.reads(kind, &bytes) {
            true => Payload {
                message: Some(Any {
                    type_url,
                    value: bytes,
                }),
                raw: Vec::new(),
            },
            false => Payload {
                message: None,
                raw: bytes,
            },
        }
    }

    fn reads(&self, kind: &str, bytes: &[u8]) -> bool {
        let Some(id) = self.types.by_name.get(kind) else {
            return false;
        };
        let plan = self.types.message(*id);
        put_canonical(&self.types, plan, bytes, &mut Vec::new()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_contract_can_read_is_wrapped() {
        // The well-known types are part of every set.
        let payloads = Payloads::new(&[]).unwrap();
        let duration = b"\x08\x03".to_vec();
        let wrapped = payloads.wrap("google.protobuf.Duration", duration.clone());
        let any = wrapped.message.unwrap();
        assert_eq!(any.type_url, "type.googleapis.com/google.protobuf.Duration");
        assert_eq!(any.value, duration);
        for (kind, bytes) in [
            ("google.protobuf.Duration", b"\xff\xff".to_vec()),
            ("shop.v1.Unknown", duration),
        ] {
            let raw = payloads.wrap(kind, bytes.clone());
            assert!(raw.message.is_none(), "{kind}");
            assert_eq!(raw.raw, bytes);
        }
    }
}
