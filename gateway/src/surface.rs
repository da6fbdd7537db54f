//! The gateway's own pages: the OpenAPI document, the explorer, and the pages for operators.

mod explain;
mod explorer;
mod limits;
mod openapi;
mod status;

use std::sync::Arc;

use bytes::Bytes;
use chassis::observe;
use chassis::server::Operator;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::api::Catalog;
use crate::context::Context;
use crate::failure::Failure;
use crate::protocols;

pub use openapi::OpenApiSettings;

const DOCUMENT: &str = "/openapi.json";
const EXPLORER: &str = "/docs";
const EXPLORER_FILES: &str = "/docs/";
const EXPLAIN: &str = "/-/explain";
const LIMITS: &str = "/-/limits";
const SCHEMA: &str = "/-/schema";

/// A page that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Document,
    /// The explorer without the slash that its relative links need.
    ExplorerRoot,
    ExplorerFile,
    Explain,
    Limits,
    Schema,
}

/// A page that is there, under a strong validator.
struct StaticPage {
    content_type: &'static str,
    /// With its quotes (RFC 9110 §8.8.3).
    tag: String,
    content: Bytes,
}

/// The page of a path, where the configuration has it and the caller may see it.
pub(crate) fn find(settings: &OpenApiSettings, head: &Parts) -> Option<Page> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let is_operator = || head.extensions.get::<Operator>().is_some();
    match head.uri.path() {
        DOCUMENT if settings.document => Some(Page::Document),
        EXPLORER if settings.explorer => Some(Page::ExplorerRoot),
        path if path.starts_with(EXPLORER_FILES) && settings.explorer => Some(Page::ExplorerFile),
        EXPLAIN if is_operator() => Some(Page::Explain),
        LIMITS if is_operator() => Some(Page::Limits),
        SCHEMA if is_operator() => Some(Page::Schema),
        _ => None,
    }
}

/// A strong validator of these parts, the same in every gateway.
fn tag(parts: &[&[u8]]) -> String {
    let hash = parts
        .iter()
        .fold(0, |seed, part| xxh3_64_with_seed(part, seed));
    format!("\"{hash:016x}\"")
}

// === impl Page ===

impl Page {
    pub(crate) async fn answer(
        self,
        context: &Context,
        settings: &OpenApiSettings,
        catalog: &Arc<Catalog>,
        head: &Parts,
    ) -> Response<Body> {
        observe::current().route(self.route());
        let answered = match self {
            Self::Document => openapi::answer(context, settings, catalog, head).await,
            Self::Explain => explain::answer(context, catalog, head),
            Self::Limits => limits::answer(context),
            Self::Schema => status::answer(context).await,
            Self::ExplorerRoot => Ok(to_explorer()),
            Self::ExplorerFile => {
                let name = head.uri.path().strip_prefix(EXPLORER_FILES);
                let file = explorer::answer(name.unwrap_or_default());
                file.ok_or_else(|| Failure::unrouted(transcoder::RouteError::NotFound, None))
            }
        };
        let response = answered.unwrap_or_else(|failure| {
            let (schema, policy) = (&catalog.schema, context.policy());
            protocols::render_json(failure, schema, policy, &head.headers)
        });
        context.policy().finish(head, response)
    }

    /// Returns the route in metrics and traces.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Document => DOCUMENT,
            Self::ExplorerRoot => EXPLORER,
            Self::ExplorerFile => "/docs/{file}",
            Self::Explain => EXPLAIN,
            Self::Limits => LIMITS,
            Self::Schema => SCHEMA,
        }
    }
}

// === impl StaticPage ===

impl StaticPage {
    /// Returns the page. `If-None-Match` is handled in `Policy::finish`.
    fn respond(self) -> Response<Body> {
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
