//! How often a message makes the transcoder ask for memory, once its buffers have grown.

use anyhow::Result;
use http::Method;
use serde::Serialize;
use transcoder::Schema;

use super::rounded;
use crate::{corpus::Sample, counting};

/// Enough that one allocation in a thousand messages would show.
const MESSAGES: u32 = 1000;

/// Allocations of the whole way of one message: route, request, response.
#[derive(Debug, Clone, Serialize)]
pub struct Allocated {
    /// Always `allocations`.
    pub measure: &'static str,
    /// Name of the sample.
    pub message: &'static str,
    /// Allocations per message.
    pub per_message: f64,
}

/// Counts them for one sample; the binary must run with [`counting::Counting`].
///
/// # Errors
/// When the transcoder refuses the sample.
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
