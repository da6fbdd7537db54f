//! The tables `[map]` and `[tables]` of a source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::CompileError;
use crate::limits::MAX_FIELDS;

/// A mapping as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Expressions by field: `sku`, `price.units`.
    #[serde(default)]
    pub map: BTreeMap<String, Entry>,
    /// Tables of the function `lookup`, by name.
    #[serde(default)]
    pub tables: BTreeMap<String, TableSettings>,
    /// The directory that paths of tables begin at; empty for the working directory.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// An expression, or the fields of a nested message: `a.b = "…"` of TOML is a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// An expression.
    Expression(String),
    /// Expressions by field.
    Fields(BTreeMap<String, Entry>),
}

/// A table that values are looked up in: written out, or a CSV file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// Values by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<BTreeMap<String, String>>,
    /// A CSV file with a header, relative to the file of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The column of the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The column of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

// === impl Settings ===

impl Settings {
    /// Returns all expressions by the whole path of their field.
    pub(crate) fn expressions(&self) -> Result<BTreeMap<String, &str>, CompileError> {
        let mut found = BTreeMap::new();
        let mut pending: Vec<(String, &Entry)> = self
            .map
            .iter()
            .map(|(name, entry)| (name.clone(), entry))
            .collect();
        while let Some((path, entry)) = pending.pop() {
            match entry {
                Entry::Fields(fields) => {
                    let inner = fields.iter();
                    pending.extend(inner.map(|(name, entry)| (format!("{path}.{name}"), entry)));
                }
                Entry::Expression(text) => {
                    let key = format!("map.{path}");
                    if found.insert(path, text.as_str()).is_some() {
                        return Err(CompileError::new(key, "the field is there twice"));
                    }
                }
            }
            if found.len() + pending.len() > MAX_FIELDS {
                let reason = format!("more than {MAX_FIELDS} fields");
                return Err(CompileError::new("map", reason));
            }
        }
        Ok(found)
    }
}
