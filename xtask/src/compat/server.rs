//! The programs of one product, built from a Go module that pins them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use mesh::home::{Home, create_dir, lock};
use mesh::os::said;
use mesh::ui::Ui;

use super::guarded::Guarded;

/// Writes a file of descriptors and returns its path.
pub(super) type WriteDescriptors = fn(&Home, &Path, &Path) -> Result<PathBuf>;

/// A server to compare with.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) name: &'static str,
    /// The program that serves.
    pub(super) server: &'static str,
    /// As `go.mod` pins it.
    pub(super) version: &'static str,
    /// Programs: name, and package in the module `xtask/compat/NAME`.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// Programs instead from packages of Debian: name, package, and the beginning of its version.
    pub(super) packages: &'static [(&'static str, &'static str, &'static str)],
    /// Directory of the module below `xtask/compat`, and of what is built.
    pub(super) module: &'static str,
    /// The requests, as JSON.
    pub(super) cases: &'static str,
    /// Arguments of the server for its ports: HTTP, gRPC, and another one.
    pub(super) arguments: fn(&Ports, &Path) -> Vec<String>,
    /// Whether HTTP and gRPC share a port.
    pub(super) one_port: bool,
    /// Settings of our gateway that stand for options of the server's own.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// The same as a file, for the upstream of the product's name; empty for none.
    pub(super) configuration: &'static str,
    /// A path of the server's own gateway that answers when it is ready.
    pub(super) ready: &'static str,
    /// Writes descriptors where the server has no reflection; returns the file.
    pub(super) descriptors: Option<WriteDescriptors>,
    /// The commands of the official client; `ENDPOINT` stands for the address.
    pub(super) script: &'static [&'static [&'static str]],
    /// Whether the official client speaks HTTP instead of gRPC.
    pub(super) client_speaks_http: bool,
    /// The protection of the server by our gateway, where that is compared too.
    pub(super) guarded: Option<Guarded>,
}

/// Ports of one instance.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) grpc: u16,
    pub(super) other: u16,
}

/// The built programs.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) dir: PathBuf,
    /// Directory of `go.mod`.
    pub(super) module: PathBuf,
}

impl Built {
    /// Builds what is not built; Go's cache makes a repetition cheap.
    ///
    /// # Errors
    /// Without Go or the modules, or when a sum differs from `go.sum`.
    pub(super) fn ensure(product: &Product, home: &Home, ui: Ui) -> Result<Self> {
        let engines = home.engines();
        create_dir(&engines, 0o755)?;
        let _guard = lock(&engines.join("lock"))?;
        let dir = engines.join(format!("compat-{}", product.name));
        create_dir(&dir, 0o755)?;
        let module = home.root().join("xtask/compat").join(product.module);
        let step = ui.step(format!("building {} {}", product.name, product.version));
        for (program, package) in product.programs {
            let mut go = Command::new("go");
            go.current_dir(&module)
                .args(["build", "-p", "2", "-trimpath", "-buildvcs=false"]);
            go.args(["-mod=readonly", "-o"])
                .arg(dir.join(program))
                .arg(package);
            said(&mut go).with_context(|| format!("go cannot build {program}"))?;
        }
        for (program, package, version) in product.packages {
            unpack(program, package, version, &dir)
                .with_context(|| format!("no {program} of the package {package} {version}"))?;
        }
        step.done();
        Ok(Self { dir, module })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Fetches a package of Debian without installing it, and takes one program out of it.
fn unpack(program: &str, package: &str, version: &str, dir: &Path) -> Result<()> {
    let to = dir.join(program);
    if to.is_file() {
        return Ok(());
    }
    let work = tempfile::tempdir_in(dir)?;
    let pinned = format!("{package}={version}*");
    let mut apt = Command::new("apt-get");
    said(
        apt.current_dir(work.path())
            .args(["download", "-q", &pinned]),
    )?;
    let file = std::fs::read_dir(work.path())?
        .next()
        .context("no file")??;
    let mut dpkg = Command::new("dpkg");
    said(
        dpkg.arg("-x")
            .arg(file.path())
            .arg(work.path().join("content")),
    )?;
    let program = work.path().join("content/usr/bin").join(program);
    Ok(std::fs::rename(program, to)?)
}

/// Returns the directory of a module that another one uses.
pub(super) fn module_dir(module: &Path, dependency: &str) -> Result<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(module)
        .args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", dependency]);
    let dir = said(&mut go).with_context(|| format!("go has no {dependency}"))?;
    Ok(PathBuf::from(dir.trim()))
}
