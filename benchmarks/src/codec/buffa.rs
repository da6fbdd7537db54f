//! buffa: generated structs read JSON, and views that borrow from wire bytes write it.

use std::marker::PhantomData;

use anyhow::Result;
use buffa::{HasMessageView, SizeCache};
use serde::{Serialize, de::DeserializeOwned};

use super::Codec;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::too_many_lines
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/buffa/mod.rs"));
}

use generated::bench::v1::{Order, Report};

pub(super) fn order() -> Box<dyn Codec> {
    Box::new(Buffa::<Order>::default())
}

pub(super) fn report() -> Box<dyn Codec> {
    Box::new(Buffa::<Report>::default())
}

struct Buffa<M> {
    sizes: SizeCache,
    message: PhantomData<M>,
}

impl<M> Default for Buffa<M> {
    fn default() -> Self {
        Buffa {
            sizes: SizeCache::new(),
            message: PhantomData,
        }
    }
}

impl<M> Codec for Buffa<M>
where
    M: HasMessageView + DeserializeOwned,
    for<'a> M::View<'a>: Serialize,
{
    fn name(&self) -> &'static str {
        "buffa"
    }

    fn json_to_wire(&mut self, json: &[u8], wire: &mut Vec<u8>) -> Result<()> {
        let message: M = serde_json::from_slice(json)?;
        message.try_encode_with_cache(&mut self.sizes, wire)?;
        Ok(())
    }

    fn wire_to_json(&mut self, wire: &[u8], json: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(json, &M::decode_view(wire)?)?;
        Ok(())
    }
}
