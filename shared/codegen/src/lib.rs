#![doc = include_str!("../README.md")]
//!
//! A service includes the result by a macro of the facade:
//!
//! ```ignore
//! /// The generated contracts.
//! pub mod protos {
//!     protomesh::include_protos!();
//! }
//! ```
//!
//! The included file, `protos.rs` in `OUT_DIR`, holds
//! - a module per package (`orders::v1`) with its messages, clients and servers, as `prost` and
//!   `tonic` write them; `google.protobuf` comes from `prost_types`, `google.api.HttpBody` is
//!   `google::api::HttpBody`, `google.rpc.Status` is `google::rpc::Status`;
//! - `METHODS: &[contract::Method]`, every RPC, sorted by path;
//! - `FILE_DESCRIPTOR_SET: &[u8]`, every file with its imports, options and comments
//!   (`google.protobuf.FileDescriptorSet`);
//! - an `impl contract::Event` for each message with `option (mesh.v1.event)`;
//! - after [`Builder::migrations`], `MIGRATIONS`: what `store::Database::open` applies.
//!
//! Generated code names other crates through `protomesh`; see [`Builder::without_facade`].
//!
//! The contracts are checked first: a mistake that `mesh check` reports is an error here; its
//! warnings are not shown. Files to import without having them are those of [`compiler`].

mod error;
mod paths;
mod render;

use std::path::{Path, PathBuf};
use std::{env, fs};

use compiler::{Checked, Sources};
use prost_types::FileDescriptorSet;

use self::paths::Paths;
use self::render::{DESCRIPTOR_FILE, MODULES_FILE};

pub use self::error::Error;
pub use compiler::Problem;

/// The file that a crate includes.
const PROTOS_FILE: &str = "protos.rs";

/// How a build script adds a directory of imports.
const IMPORT_HINT: &str = "`.include(dir)` on the `codegen::Builder` of build.rs";

/// Generates the contracts of one directory.
#[derive(Clone, Debug)]
pub struct Builder {
    root: PathBuf,
    includes: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
    migrations: Option<PathBuf>,
    paths: Paths,
}

// === impl Builder ===

impl Builder {
    /// Takes every `.proto` file under `root`; imports are relative to it.
    ///
    /// A relative path starts at the working directory, which for a `build.rs` is the root of its
    /// package.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            includes: Vec::new(),
            out_dir: None,
            migrations: None,
            paths: Paths::default(),
        }
    }

    /// Looks imports up in `dir` too, after the root and the directories given before.
    ///
    /// Only imported files are generated.
    pub fn include(mut self, dir: impl Into<PathBuf>) -> Self {
        self.includes.push(dir.into());
        self
    }

    /// Writes to `dir`, which must exist, and not to the `OUT_DIR` that cargo gives to a build
    /// script.
    pub fn out_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(dir.into());
        self
    }

    /// Embeds the migrations of `dir`, the files `<version>_<description>.up.sql` with their
    /// rollbacks `<version>_<description>.down.sql`, as `MIGRATIONS`.
    ///
    /// A first line `-- no-transaction` runs a file outside of one.
    pub fn migrations(mut self, dir: impl Into<PathBuf>) -> Self {
        self.migrations = Some(dir.into());
        self
    }

    /// Names `prost`, `prost_types`, `contract`, `tonic`, `tonic_prost` and `store` as dependencies
    /// of the crate itself, not through `protomesh`.
    pub fn without_facade(mut self) -> Self {
        self.paths = Paths::Crates;
        self
    }

    /// Compiles and writes; the same input gives the same bytes.
    ///
    /// # Errors
    /// Every fault of a contract, with file and line; a directory that can't be read or written.
    pub fn generate(self) -> Result<(), Error> {
        let out_dir = match self.out_dir {
            Some(dir) => dir,
            None => env::var_os("OUT_DIR")
                .map(PathBuf::from)
                .ok_or(Error::NoOutDir)?,
        };
        let inputs = std::iter::once(&self.root).chain(&self.includes);
        rerun_if_changed(inputs.chain(&self.migrations));
        let mut sources = Sources::new([self.root]).import_hint(IMPORT_HINT);
        for dir in self.includes {
            sources = sources.include(dir);
        }
        let compiled = sources.compile()?;
        let Checked {
            contract, mistakes, ..
        } = compiled.check();
        let Some(contract) = contract.filter(|_| mistakes.is_empty()) else {
            return Err(Error::Contract(mistakes));
        };

        let migrations = self
            .migrations
            .as_deref()
            .map(migrations::find)
            .transpose()?;

        write_rust(compiled.files, &out_dir, self.paths)?;
        write(&out_dir.join(DESCRIPTOR_FILE), &contract.descriptor_set)?;
        let mut protos = render::contracts(&contract, self.paths);
        if let Some(migrations) = migrations {
            protos.push_str(&render::migrations(&migrations, self.paths));
        }
        write(&out_dir.join(PROTOS_FILE), protos.as_bytes())
    }
}

/// Without this a change of any file of the package, a README too, runs the build script again.
#[expect(
    clippy::print_stdout,
    reason = "cargo reads the standard output of a build script"
)]
fn rerun_if_changed<'d>(dirs: impl Iterator<Item = &'d PathBuf>) {
    for dir in dirs {
        println!("cargo:rerun-if-changed={}", dir.display());
    }
}

fn write_rust(mut files: FileDescriptorSet, out_dir: &Path, paths: Paths) -> Result<(), Error> {
    // Options are read from descriptors: types for them would be dead code in every crate of
    // contracts.
    files
        .file
        .retain(|file| !compiler::is_options_only(file.name()));
    paths
        .config()
        .out_dir(out_dir)
        .include_file(MODULES_FILE)
        .compile_fds(files)
        .map_err(|source| Error::Write {
            path: out_dir.to_owned(),
            source,
        })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
