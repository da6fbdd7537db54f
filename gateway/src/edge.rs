//! What crosses the edge beside messages: deadlines, metadata, conditions, content codings, pages of other origins.

mod conditional;
mod cors;
mod deadline;
mod metadata;

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::time::Instant;
use tonic::body::Body;

use crate::compression::{self, Coding, Decoded, Encoded, Levels};
use crate::config::Config;
use crate::error::Failure;

pub(crate) use conditional::is_condition;
pub(crate) use cors::Cors;
pub(crate) use metadata::{is_reserved, strip_hop_by_hop, takes_trailers};

/// The configured manners, made ready for use on every request.
pub(crate) struct Edge {
    max_duration: Option<std::time::Duration>,
    pub(crate) metadata: metadata::Rules,
    pub(crate) cors: Option<Cors>,
    etags: Option<conditional::Tagger>,
    request_codings: Vec<Coding>,
    response_codings: Vec<Coding>,
    levels: Levels,
    min_bytes: u64,
    max_ratio: u64,
}

impl Edge {
    pub(crate) fn new(config: &Config) -> Self {
        let compression = &config.compression;
        Self {
            max_duration: config.deadline.max(),
            metadata: metadata::Rules::new(&config.metadata, config.dialect),
            cors: Cors::new(&config.cors),
            etags: conditional::Tagger::new(config),
            request_codings: compression.request.clone(),
            response_codings: compression.response.clone(),
            levels: compression.levels(),
            min_bytes: compression.min_bytes,
            max_ratio: compression.max_ratio,
        }
    }

    /// The earliest of the deadlines that the caller names and the one that is configured; none is invented.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
        let asked = deadline::asked(headers)?;
        let max = self.max_duration;
        let max = max.and_then(|max| Instant::now().checked_add(max));
        Ok(asked.into_iter().chain(max).min())
    }

    /// What marks the versions of a message that are sent as `ETag`, for requests that may be conditional.
    pub(crate) fn tagger(&self, method: &Method) -> Option<&conditional::Tagger> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        self.etags.as_ref().filter(|_| reads)
    }

    /// The body without its content coding.
    pub(crate) fn decode(&self, headers: &HeaderMap, body: Body) -> Result<Body, Failure> {
        let Some(value) = headers.get(http::header::CONTENT_ENCODING) else {
            return Ok(body);
        };
        let name = value.to_str().unwrap_or_default().trim();
        let is_one = headers
            .get_all(http::header::CONTENT_ENCODING)
            .iter()
            .count()
            == 1;
        if is_one && (name.is_empty() || name.eq_ignore_ascii_case("identity")) {
            return Ok(body);
        }
        let coding =
            Coding::of(name).filter(|coding| is_one && self.request_codings.contains(coding));
        let Some(coding) = coding else {
            let taken: Vec<&str> = self
                .request_codings
                .iter()
                .map(|coding| coding.name())
                .collect();
            return Err(Failure::unsupported_coding(name, &taken.join(", ")));
        };
        if http_body::Body::is_end_stream(&body) {
            return Ok(body);
        }
        Ok(Body::new(Decoded::new(body, coding, self.max_ratio)))
    }

    /// Completes a response of the JSON API: not modified, compressed, or without content where HTTP wants none.
    pub(crate) fn finish(&self, head: &Parts, mut response: Response<Body>) -> Response<Body> {
        let coding = self.response_coding(&head.headers, &mut response);
        if let Some(coding) = coding {
            conditional::mark(response.headers_mut(), coding);
        }
        if conditional::is_unmodified(head, &response) {
            return conditional::not_modified(response);
        }
        if let Some(coding) = coding {
            let headers = response.headers_mut();
            headers.insert(
                http::header::CONTENT_ENCODING,
                http::HeaderValue::from_static(coding.name()),
            );
            headers.remove(http::header::CONTENT_LENGTH);
        }
        match (&head.method, coding) {
            (&Method::HEAD, None) => without_content(response, true),
            (&Method::HEAD, Some(_)) => without_content(response, false),
            _ if has_no_content(response.status()) => without_content(response, false),
            (_, Some(coding)) => {
                response.map(|body| Body::new(Encoded::new(body, coding, self.levels)))
            }
            (_, None) => response,
        }
    }

    fn response_coding(&self, asked: &HeaderMap, response: &mut Response<Body>) -> Option<Coding> {
        let size = http_body::Body::size_hint(response.body()).exact();
        let is_small = size.is_some_and(|size| size < self.min_bytes);
        if is_small || self.response_codings.is_empty() || has_no_content(response.status()) {
            return None;
        }
        if !compression::is_worthwhile(response.headers()) {
            return None;
        }
        response.headers_mut().append(
            http::header::VARY,
            http::HeaderValue::from_static("accept-encoding"),
        );
        compression::negotiate(asked, &self.response_codings)
    }
}

fn has_no_content(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// The response to HEAD has the headers of GET, and no content (RFC 9110 §9.3.2).
fn without_content(response: Response<Body>, tells_length: bool) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact();
    if let Some(length) = length.filter(|_| tells_length) {
        head.headers.insert(
            http::header::CONTENT_LENGTH,
            http::HeaderValue::from(length),
        );
    }
    if has_no_content(head.status) {
        head.headers.remove(http::header::CONTENT_TYPE);
    }
    head.headers.remove(http::header::TRAILER);
    Response::from_parts(head, Body::empty())
}
