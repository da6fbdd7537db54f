#![doc = include_str!("../README.md")]

mod budget;
mod clock;
mod headers;
mod lease;
mod limit;
mod limiter;
mod limits;
mod metrics;
mod settings;
mod store;
mod table;

pub use budget::{Budget, Rule};
pub use clock::Clock;
pub use descriptors::RateLimitOption;
pub use headers::Notice;
pub use limit::{Limit, Outcome, Standing};
pub use limiter::Limiter;
pub use limits::{Algorithm, Away, By, LimitTable, Limits};
pub use settings::Settings;
