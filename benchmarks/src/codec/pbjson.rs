//! prost's generated structs, with the serde implementations that pbjson generates.

use std::marker::PhantomData;

use anyhow::Result;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::Codec;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]
pub(crate) mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/bench.v1.serde.rs"));
}

pub(super) fn order() -> Box<dyn Codec> {
    Box::new(Pbjson::<generated::Order>(PhantomData))
}

pub(super) fn report() -> Box<dyn Codec> {
    Box::new(Pbjson::<generated::Report>(PhantomData))
}

struct Pbjson<M>(PhantomData<M>);

impl<M: Message + Default + Serialize + DeserializeOwned> Codec for Pbjson<M> {
    fn name(&self) -> &'static str {
        "pbjson"
    }

    fn json_to_wire(&mut self, json: &[u8], wire: &mut Vec<u8>) -> Result<()> {
        serde_json::from_slice::<M>(json)?.encode(wire)?;
        Ok(())
    }

    fn wire_to_json(&mut self, wire: &[u8], json: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(json, &M::decode(wire)?)?;
        Ok(())
    }
}
