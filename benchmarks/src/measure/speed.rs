//! JSON to wire and wire to JSON, in megabytes of JSON text per second of one core.

use std::hint::black_box;

use anyhow::{Result, ensure};
use serde::{Serialize, de::IgnoredAny};
use transcoder::Schema;

use super::{
    Effort,
    contest::{self, Contestant},
    rounded,
};
use crate::{
    codec::{self, Codec},
    corpus::Sample,
};

/// Direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// JSON text to protobuf wire bytes.
    JsonToWire,
    /// Protobuf wire bytes to JSON text.
    WireToJson,
}

/// Speed of the transcoder on one message in one direction.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// Name of the sample.
    pub message: &'static str,
    /// Direction.
    pub direction: Direction,
    /// 10⁶ bytes of JSON text per second.
    pub mb_s: f64,
    /// Ratio to prost-reflect's speed.
    pub vs_prost_reflect: f64,
    /// Ratio to the speed of prost with pbjson.
    pub vs_pbjson: f64,
    /// Ratio to buffa's speed.
    pub vs_buffa: f64,
    /// Ratio to the speed of serde_json that skips the same text (`IgnoredAny`), in either
    /// direction.
    pub vs_scan: f64,
}

/// Measures one sample in both directions; a shuffled one only from JSON, as no encoder writes
/// such.
///
/// # Errors
/// When an implementation fails, or any two differ.
pub fn speed(sample: &Sample, schema: &Schema, effort: Effort) -> Result<Vec<Speed>> {
    codec::verify(sample, &mut codec::all(sample, schema)?)?;
    let mut speeds = vec![contest(sample, schema, effort, Direction::JsonToWire)?];
    if sample.is_in_order {
        speeds.push(contest(sample, schema, effort, Direction::WireToJson)?);
    }
    Ok(speeds)
}

fn contest(
    sample: &Sample,
    schema: &Schema,
    effort: Effort,
    direction: Direction,
) -> Result<Speed> {
    let json = sample.json.as_bytes();
    let mut contestants = Vec::new();
    for codec in codec::all(sample, schema)? {
        contestants.push(match direction {
            Direction::JsonToWire => reader(codec, json),
            Direction::WireToJson => writer(codec, json)?,
        });
    }
    contestants.push(Contestant::new(|| {
        black_box(serde_json::from_slice::<IgnoredAny>(black_box(json))?);
        Ok(())
    }));
    contest::hold(&mut contestants, effort)?;
    let [ours, others @ ..] = &*contestants else {
        anyhow::bail!("nobody to measure");
    };
    let leads: Vec<f64> = others
        .iter()
        .map(|other| rounded(ours.lead_over(other), 2))
        .collect();
    let [vs_prost_reflect, vs_pbjson, vs_buffa, vs_scan] = *leads else {
        anyhow::bail!("expected four peers");
    };
    Ok(Speed {
        message: sample.name,
        direction,
        mb_s: rounded(json.len() as f64 * 1000.0 / ours.nanos(), 1),
        vs_prost_reflect,
        vs_pbjson,
        vs_buffa,
        vs_scan,
    })
}

fn reader<'a>(mut codec: Box<dyn Codec + 'a>, json: &'a [u8]) -> Contestant<'a> {
    let mut wire = Vec::new();
    Contestant::new(move || {
        wire.clear();
        codec.json_to_wire(black_box(json), &mut wire)?;
        black_box(&wire);
        Ok(())
    })
}

fn writer<'a>(mut codec: Box<dyn Codec + 'a>, json: &[u8]) -> Result<Contestant<'a>> {
    let (mut wire, mut out) = (Vec::new(), Vec::new());
    codec.json_to_wire(json, &mut wire)?;
    ensure!(!wire.is_empty(), "{} wrote nothing", codec.name());
    Ok(Contestant::new(move || {
        out.clear();
        codec.wire_to_json(black_box(&wire), &mut out)?;
        black_box(&out);
        Ok(())
    }))
}
