//! Allocations of the transcoder per message, with grown buffers.

use anyhow::Result;
use http::Method;
use serde::Serialize;
use transcoder::Schema;

use super::rounded;
use crate::{corpus::Sample, counting};

/// Messages, so many that one allocation in a thousand shows.
const MESSAGES: u32 = 1000;

/// Allocations for one message: route, request, response.
#[derive(Debug, Clone, Serialize)]
pub struct Allocated {
    /// Always `allocations`.
    pub measure: &'static str,
    /// Name of the sample.
    pub message: &'static str,
    /// Allocations per message.
    pub per_message: f64,
}

/// Counts allocations for one sample; the program must run with [`counting::Counting`].
///
/// # Errors
/// When the transcoder rejects the sample.
pub fn allocations(sample: &Sample, schema: &Schema) -> Result<Allocated> {
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    let mut once = || -> Result<()> {
        wire.clear();
        json.clear();
        let found = schema.route(&Method::POST, sample.path)?;
        found.encode_request(None, sample.json.as_bytes(), &mut wire)?;
        found.route().write_response(&wire, &mut json)?;
        Ok(())
    };
    once()?;
    let (done, counted) = counting::count(|| (0..MESSAGES).try_for_each(|_| once()));
    done?;
    Ok(Allocated {
        measure: "allocations",
        message: sample.name,
        per_message: rounded(counted.count as f64 / f64::from(MESSAGES), 3),
    })
}
