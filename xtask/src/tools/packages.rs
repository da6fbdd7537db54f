//! Python packages with pinned hashes, each set in a separate directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use mesh::home::{Home, create_dir, lock};
use mesh::os::said;
use mesh::ui::Ui;

/// A package and what it needs.
#[derive(Debug)]
pub(crate) struct Packages {
    dir: PathBuf,
    /// Name and version.
    pub(crate) version: String,
}

impl Packages {
    /// Fetches missing files, as `requirements` pins them.
    ///
    /// # Errors
    /// Without Python, pip or the packages, or when a hash differs.
    pub(crate) fn ensure(home: &Home, ui: Ui, name: &str, requirements: &str) -> Result<Self> {
        let version = pinned_version(name, requirements)?;
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = lock(&dir.join("lock"))?;
        // Some packages are compiled for one Python version.
        let python = said(python().args(["-c", "import sys; print(sys.implementation.cache_tag)"]))
            .with_context(|| format!("{name} is written for Python"))?;
        let packages = dir.join(format!("{name}-{version}-{}", python.trim()));
        if !packages.is_dir() {
            let step = ui.step(format!("fetching {name} {version}"));
            let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&dir)?;
            let content = work.path().join("content");
            install(work.path(), &content, requirements)
                .with_context(|| format!("{name} {version} could not be fetched with pip"))?;
            std::fs::rename(&content, &packages)?;
            step.done();
        }
        Ok(Self {
            dir: packages,
            version: format!("{name} {version}"),
        })
    }

    /// Returns the command of a program, whose first argument is the directory of the packages.
    pub(crate) fn run(&self, program: &str) -> Command {
        let mut command = python();
        command.args(["-I", "-c", program]).arg(&self.dir);
        command
    }
}

fn pinned_version<'a>(name: &str, requirements: &'a str) -> Result<&'a str> {
    let mut lines = requirements.lines();
    let pinned = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix("=="));
    let version = pinned.and_then(|pinned| pinned.split_whitespace().next());
    version.with_context(|| format!("the requirements do not pin {name}"))
}

fn install(work: &Path, content: &Path, requirements: &str) -> Result<()> {
    let file = work.join("requirements.txt");
    std::fs::write(&file, requirements)?;
    let mut pip = python();
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"]);
    pip.args(["--require-hashes", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.arg("--target").arg(content);
    said(pip.arg("--requirement").arg(&file)).map(drop)
}

fn python() -> Command {
    Command::new("python3")
}

/// Checks that every package is pinned with hashes.
#[cfg(test)]
pub(crate) fn assert_pinned(name: &str, requirements: &str) {
    let version = pinned_version(name, requirements).unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}");
    let mut packages = requirements.lines().filter(|line| line.contains("=="));
    assert!(
        packages.all(|line| line.ends_with('\\')),
        "hashes follow each of them: {name}"
    );
}
