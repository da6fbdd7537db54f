//! What the gateway shows of itself: the document of the API, the explorer, and what operators ask.

use std::sync::Arc;

use bytes::Bytes;
use chassis::observe;
use chassis::server::Operator;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::catalog::Catalog;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::{explain, explorer, openapi, status};

const DOCUMENT: &str = "/openapi.json";
const EXPLORER: &str = "/docs";
const EXPLORER_FILES: &str = "/docs/";
const EXPLAIN: &str = "/-/explain";
const SCHEMA: &str = "/-/schema";

/// A page that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Document,
    /// The explorer without the slash that its relative links need.
    ExplorerRoot,
    ExplorerFile,
    Explain,
    Schema,
}

/// A page that is there, under a strong validator.
pub(crate) struct Found {
    pub(crate) content_type: &'static str,
    /// With its quotes (RFC 9110 §8.8.3).
    pub(crate) tag: String,
    pub(crate) content: Bytes,
}

/// The page of a path, where the configuration has it and the caller may see it.
pub(crate) fn find(gateway: &Gateway, request: &Request<Body>) -> Option<Page> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let settings = &gateway.config().openapi;
    let is_operator = || request.extensions().get::<Operator>().is_some();
    match request.uri().path() {
        DOCUMENT if settings.document => Some(Page::Document),
        EXPLORER if settings.explorer => Some(Page::ExplorerRoot),
        path if path.starts_with(EXPLORER_FILES) && settings.explorer => Some(Page::ExplorerFile),
        EXPLAIN if is_operator() => Some(Page::Explain),
        SCHEMA if is_operator() => Some(Page::Schema),
        _ => None,
    }
}

/// A strong validator of these parts, the same in every gateway.
pub(crate) fn tag(parts: &[&[u8]]) -> String {
    let hash = parts
        .iter()
        .fold(0, |seed, part| xxh3_64_with_seed(part, seed));
    format!("\"{hash:016x}\"")
}

// === impl Page ===

impl Page {
    pub(crate) async fn answer(
        self,
        gateway: &Gateway,
        catalog: &Arc<Catalog>,
        request: Request<Body>,
    ) -> Response<Body> {
        observe::current().route(self.route());
        let (head, _) = request.into_parts();
        let answered = match self {
            Self::Document => openapi::answer(gateway, catalog, &head).await,
            Self::Explain => explain::answer(gateway, catalog, &head),
            Self::Schema => status::answer(gateway).await,
            Self::ExplorerRoot => Ok(to_explorer()),
            Self::ExplorerFile => {
                let name = head.uri.path().strip_prefix(EXPLORER_FILES);
                let file = explorer::answer(name.unwrap_or_default());
                file.ok_or_else(|| Failure::unrouted(transcoder::RouteError::NotFound, None))
            }
        };
        let edge = gateway.edge();
        let response = answered
            .unwrap_or_else(|failure| failure.into_response(&catalog.schema, edge, &head.headers));
        edge.finish(&head, response)
    }

    /// What stands for it in metrics and traces.
    fn route(self) -> &'static str {
        match self {
            Self::Document => DOCUMENT,
            Self::ExplorerRoot => EXPLORER,
            Self::ExplorerFile => "/docs/{file}",
            Self::Explain => EXPLAIN,
            Self::Schema => SCHEMA,
        }
    }
}

// === impl Found ===

impl Found {
    /// The page; who has it already is found out where every response is finished.
    pub(crate) fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::new(Full::new(self.content)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(ETAG, tag);
        }
        // To be kept, and asked about each time: it may be another after the next schema.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Relative, so that a prefix which a proxy has taken away stays.
fn to_explorer() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let location = HeaderValue::from_static("docs/");
    response.headers_mut().insert(LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_parts_apart() {
        assert_ne!(tag(&[b"a", b"b"]), tag(&[b"ab", b""]));
    }
}
