//! The keys under `[openapi]`: how the API describes itself.

use ::openapi::Info;
use serde::Deserialize;

/// What `/openapi.json` and `/docs` show.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenApiSettings {
    /// Whether there is `/openapi.json`.
    pub document: bool,
    /// Whether there is `/docs`, which shows the document.
    pub explorer: bool,
    /// Name of the API.
    pub title: String,
    /// Version of the API.
    pub version: String,
    /// For people, in CommonMark.
    pub description: String,
}

impl OpenApiSettings {
    /// What a document of these services says of the API as a whole.
    pub(crate) fn info(&self, services: Vec<String>) -> Info {
        Info {
            title: self.title.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            services,
            ..Info::default()
        }
    }
}
