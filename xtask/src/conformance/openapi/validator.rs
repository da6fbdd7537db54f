//! The official validator of OpenAPI documents.

use std::path::Path;

use anyhow::{Context, Result};
use mesh::home::Home;
use mesh::os::said;
use mesh::ui::Ui;
use serde::{Deserialize, Serialize};

use crate::tools::packages::Packages;

pub(super) const NAME: &str = "openapi-spec-validator";
pub(super) const REQUIREMENTS: &str = include_str!("requirements.txt");
const CHECK: &str = include_str!("check.py");

#[derive(Debug)]
pub(super) struct Validator {
    pub(super) packages: Packages,
}

/// Result of the check of one document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckResult {
    pub(super) operations: usize,
    pub(super) schemas: usize,
    pub(super) examples: usize,
    pub(super) failures: Vec<String>,
}

impl Validator {
    /// Fetches missing files.
    ///
    /// # Errors
    /// Without Python, pip or the packages, or when a hash differs.
    pub(super) fn ensure(home: &Home, ui: Ui) -> Result<Self> {
        let packages = Packages::ensure(home, ui, NAME, REQUIREMENTS)?;
        Ok(Self { packages })
    }

    /// Checks one document.
    ///
    /// # Errors
    /// When the check can't run, or the file is no document.
    pub(super) fn check(&self, document: &Path) -> Result<CheckResult> {
        let outcome = said(self.packages.run(CHECK).arg(document))?;
        serde_json::from_str(&outcome).with_context(|| format!("not an outcome: {outcome:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::packages::assert_pinned;

    #[test]
    fn every_package_is_pinned_with_hashes() {
        assert_pinned(NAME, REQUIREMENTS);
    }
}
