//! The processes that are made of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use crate::cargo;
use crate::commands::build::sources;
use crate::home::Home;
use crate::project::{GATEWAY, Run, Service};

/// The Cargo packages of a project, with the directories that each is made of.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// Directories of the package itself.
    directories: BTreeMap<String, PathBuf>,
    /// Packages of the project that each one depends on, itself included.
    parts: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

// === impl Packages ===

impl Packages {
    /// Asks Cargo for the packages of the project; without a `Cargo.toml` there are none.
    ///
    /// # Errors
    /// When Cargo fails.
    pub(super) fn load(home: &Home) -> Result<Self> {
        if !home.root().join("Cargo.toml").is_file() {
            return Ok(Self::default());
        }
        let metadata: Metadata = cargo::metadata(home)?;
        Ok(Self::of(metadata.packages))
    }

    fn of(packages: Vec<Package>) -> Self {
        let local = |package: &Package| {
            let local = package.dependencies.iter();
            let local = local.filter(|dependency| dependency.path.is_some());
            local.map(|dependency| dependency.name.clone()).collect()
        };
        let direct: BTreeMap<String, BTreeSet<String>> = packages
            .iter()
            .map(|package| (package.name.clone(), local(package)))
            .collect();
        let parts = direct
            .keys()
            .map(|name| (name.clone(), reached(name, &direct)));
        let parts = parts.collect();
        let directories = packages.into_iter().filter_map(|package| {
            let directory = package.manifest_path.parent()?.canonicalize().ok()?;
            Some((package.name, directory))
        });
        Self {
            directories: directories.collect(),
            parts,
        }
    }

    /// Returns the names of the processes that are made of these files.
    ///
    /// A contract belongs to the services that serve it, call it, or read its facts; the others go
    /// on with what they were built from. One of no service belongs to all, and so do the manifest
    /// and the lock of Cargo.
    pub(super) fn affected(&self, home: &Home, changed: &BTreeSet<PathBuf>) -> BTreeSet<String> {
        let proto = home.root().join("proto");
        let (contracts, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
            changed.iter().partition(|path| path.starts_with(&proto));
        let contracts: BTreeSet<String> = contracts
            .into_iter()
            .filter_map(|path| first_directory(&proto, path))
            .collect();
        let packages: BTreeSet<&str> = others
            .iter()
            .filter_map(|path| self.package_of(path))
            .collect();
        let project = home.project();
        let is_of_service = |context: &String| {
            let mut services = project.services().iter();
            services.any(|service| is_same(&service.name, context))
        };
        let of_all = ["", "Cargo.toml", "Cargo.lock"].map(|name| home.root().join(name));
        let is_all = changed.iter().any(|path| of_all.contains(path))
            || contracts.iter().any(|context| !is_of_service(context));
        if is_all {
            let mut all: BTreeSet<String> = project.names().map(str::to_owned).collect();
            if project.gateway().package.is_none() {
                all.remove(GATEWAY);
            }
            return all;
        }
        let mut affected = BTreeSet::new();
        for service in project.services() {
            let by_contract = contracts.iter().any(|context| depends_on(service, context));
            let is_part = match &service.run {
                Run::Cargo { package, .. } => self.has_part(package, &packages),
                Run::Command { .. } => false,
            };
            let dirs = sources(home, service);
            let mut own = dirs.iter().filter(|dir| **dir != proto);
            let by_files =
                is_part || own.any(|dir| others.iter().any(|path| path.starts_with(dir)));
            if by_contract || by_files {
                affected.insert(service.name.clone());
            }
        }
        let gateway = project.gateway().package.as_deref();
        if gateway.is_some_and(|package| self.has_part(package, &packages)) {
            affected.insert(GATEWAY.to_owned());
        }
        affected
    }

    fn has_part(&self, package: &str, changed: &BTreeSet<&str>) -> bool {
        let parts = self.parts.get(package);
        parts.is_some_and(|parts| parts.iter().any(|part| changed.contains(part.as_str())))
    }

    /// Returns the package whose directory is the nearest above a file.
    fn package_of(&self, path: &Path) -> Option<&str> {
        let owners = self.directories.iter();
        let owners = owners.filter(|(_, directory)| path.starts_with(directory));
        let nearest = owners.max_by_key(|(_, directory)| directory.components().count());
        nearest.map(|(name, _)| name.as_str())
    }
}

/// Returns whether a service serves, calls or reads a context.
fn depends_on(service: &Service, context: &str) -> bool {
    let others = service.calls.iter().chain(&service.reads);
    is_same(&service.name, context) || others.into_iter().any(|other| is_same(other, context))
}

/// Compares the name of a service with a directory of contracts, which has no `-`.
fn is_same(name: &str, directory: &str) -> bool {
    name.replace('-', "_") == directory
}

/// Returns the first directory of a path below `root`: `orders` of `orders/v1/orders.proto`.
fn first_directory(root: &Path, path: &Path) -> Option<String> {
    let first = path.strip_prefix(root).ok()?.components().next()?;
    Some(first.as_os_str().to_str()?.to_owned())
}

fn reached(name: &str, direct: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        if let Some(dependencies) = direct.get(&name)
            && reached.insert(name)
        {
            next.extend(dependencies.iter().cloned());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    const MANIFEST: &str = r#"
        [project]
        name = "shop"
        [services.orders]
        calls = ["stock"]
        [services.stock]
        [services.shipping]
        reads = ["orders"]
        [services.quotes]
        command = ["python3", "services/quotes/main.py"]
    "#;

    fn package(root: &Path, name: &str, dependencies: &[&str]) -> Package {
        let directory = root.join("services").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let dependencies = dependencies.iter().map(|name| Dependency {
            name: (*name).to_owned(),
            path: Some(root.join("services").join(name)),
        });
        Package {
            name: name.to_owned(),
            manifest_path: directory.join("Cargo.toml"),
            dependencies: dependencies.collect(),
        }
    }

    #[test]
    fn a_file_affects_the_services_that_are_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("mesh.toml"), MANIFEST).unwrap();
        let packages = Packages::of(vec![
            package(&root, "orders", &["money"]),
            package(&root, "stock", &[]),
            package(&root, "shipping", &["money"]),
            package(&root, "money", &[]),
        ]);
        let home = Home::of(Project::find(&root).unwrap()).unwrap();
        for (path, expected) in [
            ("services/orders/src/rpc.rs", &["orders"][..]),
            ("services/money/src/lib.rs", &["orders", "shipping"]),
            ("services/quotes/main.py", &["quotes"]),
            ("proto/stock/v1/stock.proto", &["orders", "stock"]),
            (
                "proto/orders/v1/orders_events.proto",
                &["orders", "shipping"],
            ),
            (
                "proto/common/v1/money.proto",
                &["orders", "quotes", "shipping", "stock"],
            ),
            ("Cargo.lock", &["orders", "quotes", "shipping", "stock"]),
            ("README.md", &[]),
        ] {
            let changed = BTreeSet::from([root.join(path)]);
            let affected = packages.affected(&home, &changed);
            let affected: Vec<&str> = affected.iter().map(String::as_str).collect();
            assert_eq!(affected, expected, "{path}");
        }
    }
}
