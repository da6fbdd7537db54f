//! Samples: the measured messages and their schema.

use anyhow::{Context, Result};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use transcoder::{Match, Schema};

/// The encoded `google.protobuf.FileDescriptorSet` of `proto/`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A sample text. `data/generate.py` writes the texts.
#[derive(Debug)]
pub struct Sample {
    /// Name in the results.
    pub name: &'static str,
    /// ProtoJSON without white space.
    pub json: &'static str,
    /// Whether its fields are in the order of their numbers, as in most encoders' output.
    pub is_in_order: bool,
    /// Full name of its type.
    pub message: &'static str,
    /// Path of the route that accepts it as the body of a POST and returns it.
    pub path: &'static str,
}

/// 1.1 KB: an order of four lines.
pub const ORDER: Sample = Sample {
    name: "order",
    json: include_str!("../data/order.json"),
    is_in_order: true,
    message: "bench.v1.Order",
    path: "/v1/orders",
};

/// 31 KB: every kind of field.
pub const REPORT: Sample = Sample {
    name: "report",
    json: include_str!("../data/report.json"),
    is_in_order: true,
    message: "bench.v1.Report",
    path: "/v1/reports",
};

/// The order with its fields shuffled: the unusual order must not be slow.
pub const ORDER_SHUFFLED: Sample = Sample {
    name: "order_shuffled",
    json: include_str!("../data/order_shuffled.json"),
    is_in_order: false,
    ..ORDER
};

/// All samples.
pub const SAMPLES: [&Sample; 3] = [&ORDER, &REPORT, &ORDER_SHUFFLED];

/// Compiles the schema with the transcoder.
///
/// # Errors
/// When the descriptors don't compile.
pub fn schema() -> Result<Schema> {
    Schema::compile(DESCRIPTORS).context("cannot compile the schema of the benchmark")
}

// === impl Sample ===

impl Sample {
    /// Returns its route.
    ///
    /// # Errors
    /// When the schema has no such route.
    pub fn route<'a>(&self, schema: &'a Schema) -> Result<Match<'a>> {
        Ok(schema.route(&http::Method::POST, self.path)?)
    }

    /// Returns its type in prost-reflect.
    ///
    /// # Errors
    /// When the descriptors lack it.
    pub fn descriptor(&self) -> Result<MessageDescriptor> {
        let pool = DescriptorPool::decode(DESCRIPTORS)?;
        pool.get_message_by_name(self.message)
            .with_context(|| format!("no message {}", self.message))
    }
}
