//! Codecs: implementations that convert JSON text ⇄ wire bytes.
//!
//! Each converts completely, in the fastest way of its API: from JSON text to wire bytes and from
//! wire bytes to JSON text, appended to a reused buffer.

mod buffa;
mod ours;
mod pbjson;
mod reflect;

use anyhow::{Context, Result, ensure};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use transcoder::Schema;

pub(crate) use self::pbjson::generated;

use crate::corpus::{ORDER, Sample};

/// One implementation of ProtoJSON, for one type of message.
pub trait Codec {
    /// Name in the results.
    fn name(&self) -> &'static str;

    /// Appends the wire bytes of a JSON text.
    ///
    /// # Errors
    /// When the implementation rejects the text.
    fn json_to_wire(&mut self, json: &[u8], wire: &mut Vec<u8>) -> Result<()>;

    /// Appends the JSON text of wire bytes.
    ///
    /// # Errors
    /// When the implementation rejects the bytes.
    fn wire_to_json(&mut self, wire: &[u8], json: &mut Vec<u8>) -> Result<()>;
}

/// Returns the transcoder and its peers.
///
/// # Errors
/// When the schema has no such message.
pub fn all<'a>(sample: &Sample, schema: &'a Schema) -> Result<Vec<Box<dyn Codec + 'a>>> {
    let ours = Box::new(ours::Transcoder::new(sample.route(schema)?));
    let reflect = Box::new(reflect::Reflect::new(sample.descriptor()?));
    Ok(if sample.message == ORDER.message {
        vec![ours, reflect, pbjson::order(), buffa::order()]
    } else {
        vec![ours, reflect, pbjson::report(), buffa::report()]
    })
}

/// Checks that all outputs are equivalent.
///
/// # Errors
/// With the first implementation that loses or changes something.
pub fn verify(sample: &Sample, codecs: &mut [Box<dyn Codec + '_>]) -> Result<()> {
    let descriptor = sample.descriptor()?;
    let expected = from_json(&descriptor, sample.json.as_bytes())?;
    for codec in codecs {
        let name = codec.name();
        let mut wire = Vec::new();
        codec
            .json_to_wire(sample.json.as_bytes(), &mut wire)
            .with_context(|| format!("{name} can't read the {}", sample.name))?;
        let decoded = DynamicMessage::decode(descriptor.clone(), &*wire)
            .with_context(|| format!("{name} wrote broken bytes"))?;
        ensure!(
            decoded == expected,
            "{name}: the wire bytes decode to a different {}",
            sample.name
        );
        let mut json = Vec::new();
        codec
            .wire_to_json(&wire, &mut json)
            .with_context(|| format!("{name} can't write the {}", sample.name))?;
        let decoded =
            from_json(&descriptor, &json).with_context(|| format!("{name} wrote broken JSON"))?;
        ensure!(
            decoded == expected,
            "{name}: the JSON decodes to a different {}",
            sample.name
        );
    }
    Ok(())
}

fn from_json(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor.clone(), &mut deserializer)?;
    deserializer.end()?;
    Ok(message)
}
