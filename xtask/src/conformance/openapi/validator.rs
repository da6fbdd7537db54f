//! The official validator: Python packages with pinned hashes, in a separate directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use mesh::home::{Home, create_dir, lock};
use mesh::os::said;
use mesh::ui::Ui;
use serde::{Deserialize, Serialize};

const REQUIREMENTS: &str = include_str!("requirements.txt");
const CHECK: &str = include_str!("check.py");
const NAME: &str = "openapi-spec-validator";

#[derive(Debug)]
pub(super) struct Validator {
    packages: PathBuf,
    /// Name and version.
    pub(super) version: String,
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
        let version = pinned_version()?;
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = lock(&dir.join("lock"))?;
        // Some packages are compiled for one Python version.
        let python = said(python().args(["-c", "import sys; print(sys.implementation.cache_tag)"]))
            .context("the validator is written for Python")?;
        let packages = dir.join(format!("{NAME}-{version}-{}", python.trim()));
        if !packages.is_dir() {
            let step = ui.step(format!("fetching {NAME} {version}"));
            let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&dir)?;
            let content = work.path().join("content");
            install(work.path(), &content)
                .with_context(|| format!("{NAME} {version} could not be fetched with pip"))?;
            std::fs::rename(&content, &packages)?;
            step.done();
        }
        Ok(Self {
            packages,
            version: format!("{NAME} {version}"),
        })
    }

    /// Checks one document.
    ///
    /// # Errors
    /// When the check can't run, or the file is no document.
    pub(super) fn check(&self, document: &Path) -> Result<CheckResult> {
        let mut check = python();
        check.args(["-I", "-c", CHECK]).arg(&self.packages);
        let outcome = said(check.arg(document))?;
        serde_json::from_str(&outcome).with_context(|| format!("not an outcome: {outcome:?}"))
    }
}

fn pinned_version() -> Result<&'static str> {
    let mut lines = REQUIREMENTS.lines();
    let pinned = lines.find_map(|line| line.strip_prefix(NAME)?.strip_prefix("=="));
    let version = pinned.and_then(|pinned| pinned.split_whitespace().next());
    version.with_context(|| format!("requirements.txt does not pin {NAME}"))
}

fn install(work: &Path, content: &Path) -> Result<()> {
    let requirements = work.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS)?;
    let mut pip = python();
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"]);
    pip.args(["--require-hashes", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.arg("--target").arg(content);
    said(pip.arg("--requirement").arg(&requirements)).map(drop)
}

fn python() -> Command {
    Command::new("python3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_with_hashes() {
        assert!(
            pinned_version()
                .unwrap()
                .starts_with(|c: char| c.is_ascii_digit())
        );
        let mut packages = REQUIREMENTS.split("\n").filter(|line| line.contains("=="));
        assert!(
            packages.all(|line| line.ends_with('\\')),
            "hashes follow each of them"
        );
    }
}
