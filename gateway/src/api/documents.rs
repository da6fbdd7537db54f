//! The OpenAPI documents of one catalog, each made when it is first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chassis::error::Fault;
use openapi::{Info, Request};
use tokio::sync::OnceCell;

use super::Catalog;
use crate::failure::Failure;

/// The documents of one catalog, each made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The encoded descriptors, the only source of comments.
    set: Bytes,
    /// Those that an upstream serves; files may declare others.
    services: Vec<String>,
    /// By service; `None` for all of them. No more than there are services.
    made: Mutex<HashMap<Option<String>, Place>>,
}

/// A document, once it is made.
type Place = Arc<OnceCell<Arc<Document>>>;

/// An OpenAPI document and its example requests.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) json: Bytes,
    pub(crate) requests: Vec<Request>,
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

    /// Returns the place of a document; `None` if no upstream serves the service.
    fn place(&self, service: Option<&str>) -> Option<Place> {
        let is_served = |name: &str| self.services.iter().any(|known| known == name);
        if !service.is_none_or(is_served) {
            return None;
        }
        let mut made = self.made.lock().unwrap_or_else(|made| made.into_inner());
        Some(made.entry(service.map(str::to_owned)).or_default().clone())
    }
}

impl Catalog {
    /// Returns the OpenAPI document of one service, or of all; `info` makes its general
    /// information.
    ///
    /// # Errors
    /// NOT_FOUND where no upstream serves the service.
    pub(crate) async fn document(
        self: &Arc<Self>,
        service: Option<&str>,
        info: impl FnOnce(Vec<String>) -> Info,
    ) -> Result<Arc<Document>, Failure> {
        let place = self.documents.place(service).ok_or_else(|| {
            let name = service.unwrap_or_default();
            Fault::not_found("UNKNOWN_SERVICE", format!("no upstream serves `{name}`"))
        })?;
        let info = info(match service {
            Some(service) => vec![service.to_owned()],
            None => self.documents.services.clone(),
        });
        let catalog = self.clone();
        // A large API takes its time, which other requests should not wait for.
        let make = || async move {
            let made = tokio::task::spawn_blocking(move || {
                let document = openapi::document(&catalog.schema, &catalog.documents.set, &info);
                document.map(|document| {
                    Arc::new(Document {
                        json: Bytes::from(document.json),
                        requests: document.requests,
                    })
                })
            });
            made.await?.map_err(anyhow::Error::from)
        };
        let made = place.get_or_try_init(make).await;
        Ok(made.map_err(chassis::error::internal)?.clone())
    }
}
