//! The content codings that the JSON API takes and offers.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, VARY};
use http::{Method, Response};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;

use crate::compression::{self, Coding, Decoded, Encoded, Levels};
use crate::config::CompressionSettings;
use crate::error::Failure;

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
pub(super) struct Chosen {
    pub(super) coding: Coding,
    /// None for a response to HEAD, of which nothing is compressed.
    permit: Option<OwnedSemaphorePermit>,
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
            Some(coding) => Ok(Body::new(Decoded::new(body, coding, self.max_ratio))),
        }
    }

    /// The coding that the caller likes best, where the response gains by one.
    pub(super) fn choose(
        &self,
        method: &Method,
        asked: &HeaderMap,
        response: &mut Response<Body>,
    ) -> Option<Chosen> {
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
        Some(Chosen { coding, permit })
    }

    pub(super) fn encode(&self, chosen: Chosen, mut response: Response<Body>) -> Response<Body> {
        let Chosen { coding, permit } = chosen;
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        headers.remove(CONTENT_LENGTH);
        match permit {
            None => response.map(|_| Body::empty()),
            Some(permit) => {
                response.map(|body| Body::new(Encoded::new(body, coding, self.levels, permit)))
            }
        }
    }
}
