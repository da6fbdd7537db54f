//! The crates of this workspace: manifests from Cargo, modules and tokens from their sources.

pub(crate) mod paths;
pub(crate) mod source;
pub(crate) mod tokens;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mesh::home::Home;
use mesh::{cargo, os};
use serde::Deserialize;

/// All crates of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "workspace_default_members", default)]
    default_members: Vec<String>,
}

/// One crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    #[serde(default)]
    id: String,
    pub(crate) name: String,
    manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    metadata: Option<Metadata>,
    #[serde(flatten)]
    pub(crate) published: Published,
}

/// The fields of a manifest that a registry reads, as `cargo metadata` prints them.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Published {
    /// Registries that accept the package: none of a crate that doesn't ship.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) rust_version: Option<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
}

/// A dependency as the manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The directory of a dependency inside the workspace.
    pub(crate) path: Option<PathBuf>,
    kind: Option<String>,
    #[serde(default)]
    req: String,
}

/// `[package.metadata]` of a manifest.
#[derive(Debug, Deserialize)]
struct Metadata {
    modules: Option<Modules>,
}

#[derive(Debug, Deserialize)]
struct Modules {
    order: Vec<String>,
}

impl Workspace {
    /// Asks Cargo for the workspace of this checkout.
    ///
    /// # Errors
    /// When Cargo can't describe it.
    pub(crate) fn load(home: &Home) -> Result<Self> {
        let mut cargo = cargo::command(home);
        let text = os::said(cargo.args(["metadata", "--format-version", "1", "--no-deps"]))?;
        Self::parse(&text)
    }

    /// Parses the output of `cargo metadata`.
    ///
    /// # Errors
    /// When it isn't the expected JSON.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut workspace: Self =
            serde_json::from_str(text).context("cannot read the output of cargo metadata")?;
        workspace.packages.sort_by(|a, b| a.dir().cmp(b.dir()));
        Ok(workspace)
    }

    /// Returns the directory of a crate relative to the root, with `/` between its parts; empty for
    /// the root crate.
    pub(crate) fn place<'a>(&self, package: &'a Package) -> &'a str {
        let relative = package.dir().strip_prefix(&self.root);
        relative.ok().and_then(Path::to_str).unwrap_or_default()
    }

    /// Returns whether a crate is built and tested where no package is selected.
    pub(crate) fn is_default(&self, package: &Package) -> bool {
        self.default_members.contains(&package.id)
    }

    /// Returns the crates that a crate depends on inside the workspace; `dev` includes those of its
    /// tests.
    pub(crate) fn dependencies<'a>(
        &'a self,
        package: &'a Package,
        dev: bool,
    ) -> impl Iterator<Item = &'a Package> {
        let wanted = move |dependency: &&Dependency| dev || !dependency.is_dev();
        let dirs = package.dependencies.iter().filter(wanted);
        let dirs = dirs.filter_map(|dependency| dependency.path.as_deref());
        dirs.filter_map(|dir| self.packages.iter().find(|other| other.dir() == dir))
    }

    /// Returns all crates of the workspace that are linked into a crate, tests aside.
    pub(crate) fn linked<'a>(&'a self, package: &'a Package) -> Vec<&'a Package> {
        let mut found: Vec<&Package> = Vec::new();
        let mut open = vec![package];
        while let Some(next) = open.pop() {
            for other in self.dependencies(next, false) {
                if !found.iter().any(|known| known.dir() == other.dir()) {
                    found.push(other);
                    open.push(other);
                }
            }
        }
        found
    }
}

impl Package {
    /// Returns the directory of the manifest.
    pub(crate) fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// Returns the declared modules from bottom to top (`[package.metadata.modules] order`).
    pub(crate) fn module_order(&self) -> Option<&[String]> {
        let modules = self.metadata.as_ref()?.modules.as_ref()?;
        Some(&modules.order)
    }
}

impl Dependency {
    /// Returns whether a registry could not resolve it: it has a path only.
    pub(crate) fn is_open(&self) -> bool {
        self.path.is_some() && self.req == "*" && !self.is_dev()
    }

    fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Returns whether a crate is part of the product, by its place: it must not know the example mesh.
pub(crate) fn is_product(place: &str) -> bool {
    is_shared(place) || is_gateway(place) || is_connect(place) || is_command(place)
}

/// Returns whether a crate is shared by gateway and services.
pub(crate) fn is_shared(place: &str) -> bool {
    place.starts_with("shared/")
}

/// Returns whether a crate is the gateway or a part of it.
pub(crate) fn is_gateway(place: &str) -> bool {
    place == "gateway" || place.starts_with("gateway/")
}

/// Returns whether a crate reads sources of data.
pub(crate) fn is_connect(place: &str) -> bool {
    place == "connect" || place.starts_with("connect/")
}

/// Returns whether a crate is the command or a part of it.
pub(crate) fn is_command(place: &str) -> bool {
    place == "mesh" || place.starts_with("mesh/")
}

/// Returns whether a crate holds fuzz targets only.
pub(crate) fn is_fuzz(place: &str) -> bool {
    place.ends_with("/fuzz")
}
