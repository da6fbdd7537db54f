//! Measurements. Each module takes one reading and returns it as an object of the `--json` output.

mod allocations;
mod contest;
mod load;
mod ndjson;
mod routing;
mod rules;
mod speed;

pub use allocations::{Allocated, allocations};
pub use load::{Loaded, load};
pub use ndjson::{Streamed, ndjson};
pub use routing::{Routed, routing};
pub use rules::{Validated, rules};
pub use speed::{Direction, Speed, speed};

pub(crate) use contest::median;

use std::time::Duration;

/// Effort of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Turns of each contestant; the median counts.
    pub rounds: usize,
    /// Time of one turn.
    pub turn: Duration,
    /// Length of the NDJSON stream in bytes.
    pub ndjson_bytes: u64,
}

// === impl Effort ===

impl Effort {
    /// Returns the effort for precise results.
    pub const FULL: Effort = Effort {
        rounds: 15,
        turn: Duration::from_millis(40),
        ndjson_bytes: 1_000_000_000,
    };

    /// Returns the effort for quick results.
    pub const QUICK: Effort = Effort {
        rounds: 7,
        turn: Duration::from_millis(8),
        ndjson_bytes: 50_000_000,
    };
}

pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
