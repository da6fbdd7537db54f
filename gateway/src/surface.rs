//! The gateway's own pages: the landing page, the OpenAPI document, the explorer, and the pages for
//! operators.

mod explain;
mod limits;
mod openapi;
mod status;

use std::sync::Arc;

use ::pages::explorer;
use chassis::Process;
use chassis::observe;
use chassis::server::Operator;
use http::header::{HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tonic::body::Body;
use transcoder::Schema;

use crate::api::Catalog;
use crate::context::Context;
use crate::failure::Failure;
use crate::protocols;

pub use openapi::OpenApiSettings;

const LANDING: &str = "/";
const DOCUMENT: &str = "/openapi.json";
const EXPLORER: &str = "/docs";
const EXPLORER_FILES: &str = "/docs/";
const EXPLAIN: &str = "/-/explain";
const LIMITS: &str = "/-/limits";
const SCHEMA: &str = "/-/schema";

/// A page that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Landing,
    Document,
    /// The explorer without the slash that its relative links need.
    ExplorerRoot,
    ExplorerFile,
    Explain,
    Limits,
    Schema,
}

/// The pages that there are.
pub(crate) struct Pages {
    settings: OpenApiSettings,
    /// Everybody may see the metrics here.
    has_metrics: bool,
}

// === impl Pages ===

impl Pages {
    pub(crate) fn new(settings: OpenApiSettings, process: &Process) -> Self {
        let of_process = process.settings();
        Self {
            settings,
            has_metrics: of_process.metrics && of_process.admin_listen.is_empty(),
        }
    }

    /// Returns the page of a path, where the configuration has it and the caller may see it.
    pub(crate) fn find(&self, schema: &Schema, head: &Parts) -> Option<Page> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let settings = &self.settings;
        let is_operator = || head.extensions.get::<Operator>().is_some();
        match head.uri.path() {
            LANDING if settings.landing && schema.route(&head.method, LANDING).is_err() => {
                Some(Page::Landing)
            }
            DOCUMENT if settings.document => Some(Page::Document),
            EXPLORER if settings.explorer => Some(Page::ExplorerRoot),
            path if path.starts_with(EXPLORER_FILES) && settings.explorer => {
                Some(Page::ExplorerFile)
            }
            EXPLAIN if is_operator() => Some(Page::Explain),
            LIMITS if is_operator() => Some(Page::Limits),
            SCHEMA if is_operator() => Some(Page::Schema),
            _ => None,
        }
    }
}

// === impl Page ===

impl Page {
    pub(crate) async fn answer(
        self,
        context: &Context,
        pages: &Pages,
        catalog: &Arc<Catalog>,
        head: &Parts,
    ) -> Response<Body> {
        let settings = &pages.settings;
        observe::current().route(self.route());
        let answered = match self {
            Self::Landing => {
                let has_metrics = pages.has_metrics;
                openapi::answer_landing(context, settings, has_metrics, catalog, head).await
            }
            Self::Document => openapi::answer(context, settings, catalog, head).await,
            Self::Explain => explain::answer(context, catalog, head),
            Self::Limits => limits::answer(context),
            Self::Schema => status::answer(context).await,
            Self::ExplorerRoot => Ok(to_explorer()),
            Self::ExplorerFile => {
                let name = head.uri.path().strip_prefix(EXPLORER_FILES);
                let file = explorer::file(name.unwrap_or_default());
                let file = file.map(::pages::Page::respond);
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
            Self::Landing => LANDING,
            Self::Document => DOCUMENT,
            Self::ExplorerRoot => EXPLORER,
            Self::ExplorerFile => "/docs/{file}",
            Self::Explain => EXPLAIN,
            Self::Limits => LIMITS,
            Self::Schema => SCHEMA,
        }
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
