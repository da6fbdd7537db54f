//! `/openapi.json`, the merged API as OpenAPI 3.1, made once for each schema that is served; and
//! `/`, which shows what it offers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ::openapi::{Info, Security, title_of};
use access::Ruling;
use bytes::Bytes;
use http::Response;
use http::header::{HeaderValue, VARY};
use http::request::Parts;
use pages::{Landing, Page, tag};
use serde::Deserialize;
use tonic::body::Body;

use crate::api::{Catalog, Dialect, Document};
use crate::context::Context;
use crate::failure::Failure;
use crate::policy::client_address;
use crate::protocols::{self, JSON};

/// The keys under `[openapi]`.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenApiSettings {
    /// Whether there is `/openapi.json`.
    pub document: bool,
    /// Whether there is `/docs`, which shows the document.
    pub explorer: bool,
    /// Whether `/` is a page with what there is, unless the API has that path.
    pub landing: bool,
    /// Name of the API.
    pub title: String,
    /// Version of the API.
    pub version: String,
    /// For people, in CommonMark.
    pub description: String,
}

impl OpenApiSettings {
    /// Returns the general information of a document of these services.
    fn info(&self, services: Vec<String>, dialect: Dialect) -> Info {
        Info {
            title: self.title.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            services,
            has_envelope: dialect.has_envelope(),
            ..Info::default()
        }
    }
}

/// Answers with the document, which names the host that it was asked of.
pub(super) async fn answer(
    context: &Context,
    settings: &OpenApiSettings,
    catalog: &Arc<Catalog>,
    head: &Parts,
) -> Result<Response<Body>, Failure> {
    let service = service(head.uri.query());
    let document = document(context, settings, catalog, service).await?;
    let origin = client_address::origin(head).unwrap_or_default();
    let tag = tag(&[&document.json, origin.as_bytes()]);
    Ok(Page::new(JSON, tag, with_server(&document.json, &origin)).respond())
}

/// Answers with what there is, as a page or as JSON.
pub(super) async fn answer_landing(
    context: &Context,
    settings: &OpenApiSettings,
    has_metrics: bool,
    catalog: &Arc<Catalog>,
    head: &Parts,
) -> Result<Response<Body>, Failure> {
    let document = document(context, settings, catalog, None).await?;
    let origin = client_address::origin(head).unwrap_or_default();
    let title = match &*settings.title {
        "" => title_of(document.requests.iter().map(|request| &*request.service)),
        title => title.to_owned(),
    };
    let landing = Landing {
        title: &title,
        origin: &origin,
        requests: &document.requests,
        has_explorer: settings.explorer,
        has_document: settings.document,
        has_metrics,
    };
    let accept = protocols::accept(&head.headers);
    // Browsers and curl get the page; a program that asks for JSON mostly takes all else, too.
    let wants_json = accept.contains("json") && !accept.contains("html");
    let page = match wants_json {
        true => landing.json(),
        false => landing.html(),
    };
    let mut response = page.respond();
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().insert(VARY, vary);
    Ok(response)
}

async fn document(
    context: &Context,
    settings: &OpenApiSettings,
    catalog: &Arc<Catalog>,
    service: Option<&str>,
) -> Result<Arc<Document>, Failure> {
    let info = |services: Vec<String>| Info {
        statuses: statuses(context, catalog, &services),
        security: security(context, catalog),
        ..settings.info(services, context.dialect())
    };
    catalog.document(service, info).await
}

/// Returns whom the methods let in, where that is enforced.
fn security(context: &Context, catalog: &Catalog) -> Option<Security> {
    let rulings = catalog.access.rulings();
    let ruled = rulings.filter_map(|(method, ruling)| match ruling {
        Ruling::Ruled(policy) => Some((method, policy.access())),
        Ruling::Silent | Ruling::Invalid(_) => None,
    });
    context.policy().authorizes().then(|| Security::new(ruled))
}

/// Returns the HTTP statuses of codes of the services whose upstreams have their own.
fn statuses(
    context: &Context,
    catalog: &Catalog,
    services: &[String],
) -> HashMap<String, BTreeMap<i32, u16>> {
    let codes = &context.policy().codes;
    let own = services.iter().filter_map(|service| {
        let upstream = catalog.owner(&format!("/{service}/"))?;
        let statuses = codes.of(upstream.name())?;
        Some((service.clone(), (**statuses).clone()))
    });
    own.collect()
}

/// The value of `service` in a query.
fn service(query: Option<&str>) -> Option<&str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == "service").then_some(value))
}

/// Inserts `servers` after the first member of the document, its version.
fn with_server(document: &Bytes, origin: &str) -> Bytes {
    let first = document.iter().position(|byte| *byte == b',');
    let Some(first) = first.filter(|_| !origin.is_empty()) else {
        return document.clone();
    };
    let servers = serde_json::json!([{ "url": origin }]);
    let (version, rest) = document.split_at(first);
    let servers = format!(",\"servers\":{servers}");
    [version, servers.as_bytes(), rest].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_where_the_api_is() {
        let document = Bytes::from_static(b"{\"openapi\":\"3.1.0\",\"info\":{}}");
        assert_eq!(
            with_server(&document, "http://a"),
            "{\"openapi\":\"3.1.0\",\"servers\":[{\"url\":\"http://a\"}],\"info\":{}}"
        );
        assert_eq!(with_server(&document, ""), document);
    }
}
