//! A mesh that runs elsewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A mesh that runs elsewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Address of its gateway, as host:port.
    pub gateway: String,
    /// File with the token of the operators, relative to the project.
    pub operator_token_file: Option<PathBuf>,
}

// === impl Environment ===

impl Environment {
    /// Reads the operators' token.
    ///
    /// # Errors
    /// When no file is declared, or it can't be read.
    pub fn operator_token(&self, root: &Path) -> Result<String> {
        let file = self.operator_token_file.as_ref();
        let file = root.join(file.context("the environment has no operator_token_file")?);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim().to_owned())
    }
}
