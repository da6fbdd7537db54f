//! Payloads of facts as `google.protobuf.Any`, where readers of the contract can read them.

use std::sync::Arc;

use descriptors::{CompileError, NameOptions, Types, put_canonical};
use masks::Masks;
use prost_types::Any;

const URL_PREFIX: &str = "type.googleapis.com/";

/// The types of a contract, and what of them no operator sees.
pub(crate) struct Payloads {
    types: Arc<Types>,
    masks: Arc<Masks>,
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
        let types = Arc::new(Types::new(&loaded.pool, NameOptions::default()));
        Ok(Self {
            masks: Arc::new(Masks::confidential(&loaded.pool, types.clone())),
            types,
        })
    }

    /// Wraps `bytes` if they are a message of type `kind`: one that is not would make the whole
    /// response unreadable as JSON. Confidential fields are left out, and so are the bytes of a
    /// message that has such fields and can't be read.
    pub(crate) fn wrap(&self, kind: &str, bytes: Vec<u8>) -> Payload {
        let mask = self
            .types
            .by_name
            .get(kind)
            .and_then(|id| self.masks.of(*id));
        let bytes = match mask.map(|mask| mask.apply(&bytes, |_| false)) {
            Some(Ok(Some(masked))) => masked,
            Some(Err(_)) => Vec::new(),
            Some(Ok(None)) | None => bytes,
        };
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
    fn confidential_fields_are_left_out() {
        let set = samples::descriptor_set(&[(
            "t.proto",
            "syntax = \"proto3\"; package t; import \"mesh/v1/options.proto\";
            message Paid { string id = 1; string card = 2 [(mesh.v1.data_class) = DATA_CLASS_SECRET];
              string name = 3 [(mesh.v1.data_class) = DATA_CLASS_PERSONAL]; }",
        )]);
        let payloads = Payloads::new(&set).unwrap();
        let wrapped = payloads.wrap("t.Paid", b"\x0a\x01i\x12\x06canary\x1a\x06canary".to_vec());
        assert_eq!(wrapped.message.unwrap().value, b"\x0a\x01i");
        let torn = payloads.wrap("t.Paid", b"\x12\x06canary\x0a\x7f".to_vec());
        assert!(torn.raw.is_empty() && torn.message.is_none_or(|any| any.value.is_empty()));
    }

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
