//! Time to check a message by the rules of its contract, beside reading it.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use transcoder::{Options, Schema, ValidationOptions};

use super::{
    Effort,
    contest::{self, Contestant},
    load::compile,
    rounded,
};
use crate::{corpus::ORDER, counting};

const MESSAGE: &str = "bench.ruled.v1.Order";

/// Nanoseconds for the order, with rules for nearly all of its values.
#[derive(Debug, Clone, Serialize)]
pub struct Validated {
    /// Always `rules`.
    pub measure: &'static str,
    /// Always `order_validated`.
    pub message: &'static str,
    /// JSON to wire without rules.
    pub ns_unchecked: f64,
    /// JSON to wire with rules.
    pub ns_checked: f64,
    /// Time of the rules as a share of reading without them.
    pub ratio: f64,
    /// Check of foreign wire bytes, which may be malformed.
    pub ns_wire: f64,
    /// Allocations per checked message.
    pub allocations: u64,
}

/// Measures it; the binary must run with [`counting::Counting`].
///
/// # Errors
/// When the schema doesn't compile, or the order is rejected.
pub fn rules(effort: Effort) -> Result<Validated> {
    let descriptors = compile(include_str!("../../proto/bench/v1/ruled.proto"))?;
    let schema = |enforce| {
        let options = Options {
            validation: ValidationOptions {
                enforce,
                ..ValidationOptions::default()
            },
            ..Options::default()
        };
        Schema::compile_with(&descriptors, options)
    };
    let (free, ruled) = (schema(false)?, schema(true)?);
    let validator = ruled.validator(MESSAGE).context("no order")?;
    ensure!(validator.has_rules(), "the order has no rules");
    let mut wire = Vec::new();
    reader(&ruled, &mut wire)?;
    let mut contestants = [
        contestant(&free),
        contestant(&ruled),
        Contestant::new(|| {
            ensure!(validator.check(black_box(&wire))?.is_empty(), "refused");
            Ok(())
        }),
    ];
    contest::hold(&mut contestants, effort)?;
    let [unchecked, checked, foreign] = &contestants;
    let mut out = Vec::with_capacity(wire.len());
    let (done, counted) = counting::count(|| reader(&ruled, &mut out));
    done?;
    Ok(Validated {
        measure: "rules",
        message: "order_validated",
        ns_unchecked: rounded(unchecked.nanos(), 1),
        ns_checked: rounded(checked.nanos(), 1),
        ratio: rounded(unchecked.lead_over(checked) - 1.0, 3),
        ns_wire: rounded(foreign.nanos(), 1),
        allocations: counted.count,
    })
}

fn contestant(schema: &Schema) -> Contestant<'_> {
    let mut out = Vec::new();
    Contestant::new(move || {
        out.clear();
        reader(schema, &mut out)?;
        black_box(&out);
        Ok(())
    })
}

fn reader(schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
    let found = ORDER.route(schema)?;
    found.encode_request(None, black_box(ORDER.json.as_bytes()), out)?;
    Ok(())
}
