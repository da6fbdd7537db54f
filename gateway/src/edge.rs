//! What crosses the edge beside messages: deadlines, metadata, conditions, content codings, pages of other origins.

mod codings;
mod conditional;
mod cors;
mod deadline;
mod metadata;

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRAILER};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;
use tonic::body::Body;

use crate::config::Config;
use crate::error::Failure;

pub(crate) use conditional::is_condition;
pub(crate) use cors::Cors;
pub(crate) use deadline::CONNECT_TIMEOUT;
pub(crate) use metadata::{is_reserved, strip_hop_by_hop, takes_trailers};

/// The configured manners, made ready for use on every request.
pub(crate) struct Edge {
    max_duration: Option<Duration>,
    pub(crate) metadata: metadata::Rules,
    pub(crate) cors: Option<Cors>,
    etags: Option<conditional::Tagger>,
    codings: codings::Codings,
}

impl Edge {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max_duration: config.deadline.max(),
            metadata: metadata::Rules::new(&config.metadata, config.dialect),
            cors: Cors::new(&config.cors),
            etags: conditional::Tagger::new(config),
            codings: codings::Codings::new(&config.compression),
        }
    }

    /// The earliest of the deadlines that the caller names and the one that is configured; none is invented.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
        let asked = deadline::asked(headers)?;
        let max = self.max_duration;
        let max = max.and_then(|max| Instant::now().checked_add(max));
        Ok(asked.into_iter().chain(max).min())
    }

    /// How hard content codings try.
    pub(crate) fn levels(&self) -> crate::compression::Levels {
        self.codings.levels()
    }

    /// What marks the versions of a message that are sent as `ETag`, for requests that may be conditional.
    pub(crate) fn tagger(&self, method: &Method) -> Option<&conditional::Tagger> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        self.etags.as_ref().filter(|_| reads)
    }

    /// The body without its content coding.
    pub(crate) fn decode(&self, headers: &HeaderMap, body: Body) -> Result<Body, Failure> {
        self.codings.decode(headers, body)
    }

    /// Completes a response of the JSON API: not modified, compressed, or without content where HTTP wants none.
    pub(crate) fn finish(&self, head: &Parts, mut response: Response<Body>) -> Response<Body> {
        if has_no_content(response.status()) {
            return without_content(response);
        }
        let method = &head.method;
        let chosen = self.codings.choose(method, &head.headers, &mut response);
        if let Some(chosen) = &chosen {
            conditional::mark(response.headers_mut(), chosen.coding);
        }
        if conditional::is_unmodified(head, &response) {
            return conditional::not_modified(response);
        }
        match chosen {
            Some(chosen) => self.codings.encode(chosen, response),
            None if *method == Method::HEAD => only_head(response),
            None => response,
        }
    }
}

/// Statuses whose responses end with their headers (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
fn has_no_content(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

fn without_content(response: Response<Body>) -> Response<Body> {
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_TYPE);
    head.headers.remove(TRAILER);
    Response::from_parts(head, Body::empty())
}

/// The response to HEAD has the headers of GET, and no content (RFC 9110 §9.3.2).
fn only_head(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    head.headers.remove(TRAILER);
    Response::from_parts(head, Body::empty())
}
