//! The content codings, their encoders and decoders.

use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::zstd::params::{CParameter, DParameter};
use compression_codecs::{
    BrotliDecoder, BrotliEncoder, DecodeV2, EncodeV2, GzipDecoder, GzipEncoder, ZlibDecoder,
    ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use serde::Deserialize;

/// Media types that are not text by their name, and yet become smaller.
const COMPRESSIBLE: [&str; 8] = [
    "application/json",
    "application/x-ndjson",
    "application/json-seq",
    "application/x-protobuf",
    "application/protobuf",
    "application/javascript",
    "application/xml",
    "application/wasm",
];

/// The largest window of a zstd frame, as a power of two: what a decoder of `Content-Encoding:
/// zstd` has to take (RFC 9659 §3), and all that it takes.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How far encoders look back, as a power of two. A stream that waits for its next message keeps
/// the window, whatever it costs.
const WINDOW_LOG: u8 = 16;

/// Whether content of this kind becomes smaller, and may be changed on its way (RFC 9111 §5.2.2.6).
pub fn is_worthwhile(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let media_type = text(CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let is_text = media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || COMPRESSIBLE.contains(&media_type);
    is_text
        && !headers.contains_key(CONTENT_ENCODING)
        && !text(CACHE_CONTROL).contains("no-transform")
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// The zlib format (RFC 1950), by the name of what is inside.
    Deflate,
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How hard each coding tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// gzip and deflate, from 1 to 9.
    pub gzip: u32,
    /// From 0 to 11.
    pub br: u32,
    /// From 1 to 22.
    pub zstd: i32,
}

// === impl Coding ===

impl Coding {
    /// The coding of this name, in any case, `x-gzip` included.
    pub fn of(name: &str) -> Option<Self> {
        let all = [
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Br),
            ("zstd", Self::Zstd),
        ];
        let found = all
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map(|(_, coding)| *coding)
    }

    /// Returns the name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn encoder(self, levels: Levels) -> Box<dyn EncodeV2 + Send> {
        let precise = |level: u32| Level::Precise(i32::try_from(level).unwrap_or(i32::MAX));
        match self {
            Self::Gzip => Box::new(GzipEncoder::new(precise(levels.gzip).into())),
            Self::Deflate => Box::new(ZlibEncoder::new(precise(levels.gzip).into())),
            Self::Br => {
                let params = EncoderParams::default().quality(precise(levels.br));
                Box::new(BrotliEncoder::new(params.window_size(WINDOW_LOG.into())))
            }
            Self::Zstd => {
                let log = u32::from(WINDOW_LOG);
                let params = [
                    CParameter::window_log(log),
                    CParameter::hash_log(log - 2),
                    CParameter::chain_log(log - 2),
                ];
                Box::new(ZstdEncoder::new_with_params(levels.zstd, &params))
            }
        }
    }

    pub(crate) fn decoder(self) -> Box<dyn DecodeV2 + Send> {
        match self {
            Self::Gzip => Box::new(GzipDecoder::new()),
            Self::Deflate => Box::new(ZlibDecoder::new()),
            Self::Br => Box::new(BrotliDecoder::new()),
            Self::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                Box::new(ZstdDecoder::new_with_params(&[window]))
            }
        }
    }

    /// Whether several compressed pieces, one after the other, are one body.
    pub(crate) fn has_members(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd)
    }
}
