//! prost-reflect: dynamic messages.

use anyhow::Result;
use prost_reflect::{DynamicMessage, MessageDescriptor, prost::Message};
use serde::Serialize;

use super::Codec;

pub(super) struct Reflect {
    descriptor: MessageDescriptor,
}

impl Reflect {
    pub(super) fn new(descriptor: MessageDescriptor) -> Self {
        Reflect { descriptor }
    }
}

impl Codec for Reflect {
    fn name(&self) -> &'static str {
        "prost-reflect"
    }

    fn json_to_wire(&mut self, json: &[u8], wire: &mut Vec<u8>) -> Result<()> {
        super::from_json(&self.descriptor, json)?.encode(wire)?;
        Ok(())
    }

    fn wire_to_json(&mut self, wire: &[u8], json: &mut Vec<u8>) -> Result<()> {
        let message = DynamicMessage::decode(self.descriptor.clone(), wire)?;
        message.serialize(&mut serde_json::Serializer::new(json))?;
        Ok(())
    }
}
