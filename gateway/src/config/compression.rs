//! `[compression]`: which content codings the JSON API takes and offers.

use std::ops::RangeInclusive;

use chassis::config::ConfigError;
use serde::Deserialize;

use super::refuse;
use crate::compression::{Coding, Levels};

/// Content codings (RFC 9110 §8.4.1) of requests and responses.
#[derive(Clone, Debug, Deserialize)]
pub struct CompressionSettings {
    /// Codings of request bodies that are taken.
    pub request: Vec<Coding>,
    /// Codings of responses; the first one wins where the caller likes several equally.
    pub response: Vec<Coding>,
    /// Smaller responses of known size are sent as they are, in bytes.
    pub min_bytes: u64,
    /// How many bytes of a request may come of one received byte, beyond the first MiB.
    pub max_ratio: u64,
    /// gzip and deflate, from 1 (fast) to 9 (small).
    pub gzip_level: u32,
    /// Brotli, from 0 (fast) to 11 (small).
    pub br_level: u32,
    /// Zstandard, from 1 (fast) to 22 (small).
    pub zstd_level: u32,
}

impl CompressionSettings {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let ranges: [(&str, u32, RangeInclusive<u32>); 3] = [
            ("compression.gzip_level", self.gzip_level, 1..=9),
            ("compression.br_level", self.br_level, 0..=11),
            ("compression.zstd_level", self.zstd_level, 1..=22),
        ];
        for (key, level, range) in ranges {
            if !range.contains(&level) {
                let (low, high) = range.into_inner();
                return refuse(key, &format!("expected {low} to {high}, got {level}"));
            }
        }
        if self.max_ratio == 0 {
            return refuse("compression.max_ratio", "expected a number above 0, got 0");
        }
        Ok(())
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels {
            gzip: self.gzip_level,
            br: self.br_level,
            zstd: self.zstd_level.cast_signed(),
        }
    }
}
