//! `/openapi.json`: the merged API as OpenAPI 3.1, made once for each schema that is served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chassis::error::Fault;
use http::Response;
use http::request::Parts;
use tokio::sync::OnceCell;
use tonic::body::Body;

use crate::catalog::Catalog;
use crate::error::Failure;
use crate::forwarded;
use crate::gateway::Gateway;
use crate::pages::{self, Found};
use crate::view::JSON;

/// The documents of one catalog, each made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Documents {
    /// What the schema was compiled from: comments are in nothing else.
    set: Bytes,
    /// Those that an upstream serves; files may declare others.
    services: Vec<String>,
    /// By service; `None` for all of them. No more than there are services.
    made: Mutex<HashMap<Option<String>, Arc<OnceCell<Bytes>>>>,
}

/// Answers with the document, which names the host that it was asked of.
pub(crate) async fn answer(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    head: &Parts,
) -> Result<Response<Body>, Failure> {
    let service = service(head.uri.query());
    let document = document(gateway, catalog, service).await?;
    let origin = forwarded::origin(head).unwrap_or_default();
    let found = Found {
        content_type: JSON,
        tag: pages::tag(&[&document, origin.as_bytes()]),
        content: with_server(&document, &origin),
    };
    Ok(found.respond())
}

// === impl Documents ===

impl Documents {
    pub(crate) fn new(set: Bytes, services: Vec<String>) -> Self {
        Self {
            set,
            services,
            made: Mutex::default(),
        }
    }

    /// The place of a document; `None` where nobody serves the service.
    fn place(&self, service: Option<&str>) -> Option<Arc<OnceCell<Bytes>>> {
        let is_served = |name: &str| self.services.iter().any(|known| known == name);
        if !service.is_none_or(is_served) {
            return None;
        }
        let mut made = self.made.lock().unwrap_or_else(|made| made.into_inner());
        Some(made.entry(service.map(str::to_owned)).or_default().clone())
    }
}

async fn document(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    service: Option<&str>,
) -> Result<Bytes, Failure> {
    let place = catalog.documents.place(service).ok_or_else(|| {
        let name = service.unwrap_or_default();
        Fault::not_found("UNKNOWN_SERVICE", format!("no upstream serves `{name}`"))
    })?;
    let chosen = match service {
        Some(service) => vec![service.to_owned()],
        None => catalog.documents.services.clone(),
    };
    let info = gateway.config().openapi.info(chosen);
    let catalog = catalog.clone();
    // A large API takes its time, which other requests should not wait for.
    let make = || async move {
        let made = tokio::task::spawn_blocking(move || {
            let document = ::openapi::document(&catalog.schema, &catalog.documents.set, &info);
            document.map(|document| Bytes::from(document.json))
        });
        made.await?.map_err(anyhow::Error::from)
    };
    let made = place.get_or_try_init(make).await;
    Ok(made.map_err(chassis::error::internal)?.clone())
}

/// The value of `service` in a query.
fn service(query: Option<&str>) -> Option<&str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == "service").then_some(value))
}

/// Puts `servers` behind the first member of the document, which is its version and short.
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
