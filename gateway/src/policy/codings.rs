//! The content codings that the JSON API takes and offers.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chassis::config::ConfigError;
use compression::{Coding, CompressedBody, DecompressedBody, Levels};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, VARY};
use http::{Method, Response};
use http_body::Body as _;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;

use crate::failure::Failure;
use crate::settings::reject_key;

/// Content codings (RFC 9110 §8.4.1) of requests and responses.
#[derive(Clone, Debug, Deserialize)]
pub struct CompressionSettings {
    /// Accepted codings of request bodies.
    pub request: Vec<Coding>,
    /// Codings of responses; the first one wins where the caller likes several equally.
    pub response: Vec<Coding>,
    /// Smaller responses of known size are sent as they are, in bytes.
    pub min_bytes: u64,
    /// Responses that are compressed at once; further ones are sent as they are.
    pub max_at_once: usize,
    /// How many bytes of a request may come of one received byte, beyond the first MiB.
    pub max_ratio: u64,
    /// gzip and deflate, from 1 (fast) to 9 (small).
    pub gzip_level: u32,
    /// Brotli, from 0 (fast) to 11 (small).
    pub br_level: u32,
    /// Zstandard, from 1 (fast) to 22 (small).
    pub zstd_level: u32,
}

/// The configured codings.
pub(super) struct Codings {
    request: Vec<Coding>,
    response: Vec<Coding>,
    levels: Levels,
    min_bytes: u64,
    max_ratio: u64,
    /// One permit for each response that is being compressed.
    at_once: Arc<Semaphore>,
}

/// The coding that a response is to have.
pub(super) struct SelectedCoding {
    pub(super) coding: Coding,
    /// None for a response to HEAD, of which nothing is compressed.
    permit: Option<OwnedSemaphorePermit>,
}

impl CompressionSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let ranges: [(&str, u32, RangeInclusive<u32>); 3] = [
            ("compression.gzip_level", self.gzip_level, 1..=9),
            ("compression.br_level", self.br_level, 0..=11),
            ("compression.zstd_level", self.zstd_level, 1..=22),
        ];
        for (key, level, range) in ranges {
            if !range.contains(&level) {
                let (low, high) = range.into_inner();
                return reject_key(key, &format!("expected {low} to {high}, got {level}"));
            }
        }
        if self.max_ratio == 0 {
            return reject_key("compression.max_ratio", "expected a number above 0, got 0");
        }
        Ok(())
    }

    fn levels(&self) -> Levels {
        Levels {
            gzip: self.gzip_level,
            br: self.br_level,
            zstd: self.zstd_level.cast_signed(),
        }
    }
}

impl Codings {
    pub(super) fn new(settings: &CompressionSettings) -> Self {
        let max_at_once = settings.max_at_once.min(Semaphore::MAX_PERMITS);
        Self {
            request: settings.request.clone(),
            response: settings.response.clone(),
            levels: settings.levels(),
            min_bytes: settings.min_bytes,
            max_ratio: settings.max_ratio,
            at_once: Arc::new(Semaphore::new(max_at_once)),
        }
    }

    /// How hard they try.
    pub(super) fn levels(&self) -> Levels {
        self.levels
    }

    /// The body of a request without its coding.
    ///
    /// # Errors
    /// The coding is not taken, or is one of several: 415.
    pub(super) fn decode(&self, headers: &HeaderMap, body: Body) -> Result<Body, Failure> {
        let mut lines = headers.get_all(CONTENT_ENCODING).iter();
        let Some(line) = lines.next() else {
            return Ok(body);
        };
        let found = line.to_str().unwrap_or_default().trim();
        let is_one = lines.next().is_none();
        if is_one && (found.is_empty() || found.eq_ignore_ascii_case("identity")) {
            return Ok(body);
        }
        match Coding::of(found).filter(|coding| is_one && self.request.contains(coding)) {
            None => {
                let taken: Vec<&str> = self.request.iter().map(|coding| coding.name()).collect();
                Err(Failure::unsupported_coding(found, &taken.join(", ")))
            }
            // Nothing is in no coding.
            Some(_) if body.is_end_stream() => Ok(body),
            Some(coding) => Ok(Body::new(DecompressedBody::new(
                body,
                coding,
                self.max_ratio,
            ))),
        }
    }

    /// The coding that the caller likes best, where the response gains by one.
    pub(super) fn choose(
        &self,
        method: &Method,
        asked: &HeaderMap,
        response: &mut Response<Body>,
    ) -> Option<SelectedCoding> {
        let size = response.body().size_hint().exact();
        let is_small = size.is_some_and(|size| size < self.min_bytes);
        let offers = !is_small && !self.response.is_empty();
        if !offers || !compression::is_worthwhile(response.headers()) {
            return None;
        }
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        let coding = compression::negotiate(asked, &self.response)?;
        let permit = match *method {
            Method::HEAD => None,
            _ => Some(self.at_once.clone().try_acquire_owned().ok()?),
        };
        Some(SelectedCoding { coding, permit })
    }

    pub(super) fn encode(
        &self,
        chosen: SelectedCoding,
        mut response: Response<Body>,
    ) -> Response<Body> {
        let SelectedCoding { coding, permit } = chosen;
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        headers.remove(CONTENT_LENGTH);
        match permit {
            None => response.map(|_| Body::empty()),
            Some(permit) => response
                .map(|body| Body::new(CompressedBody::new(body, coding, self.levels, permit))),
        }
    }
}
