//! Finds `.proto` files and compiles them, with the standard imports built in.

use std::path::{Path, PathBuf};
use std::{fs, io};

use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use crate::error::Error;

/// Files that only declare options.
const OPTIONS: [Embedded; 4] = [
    Embedded {
        name: "buf/validate/validate.proto",
        source: include_str!("../third_party/buf/validate/validate.proto"),
    },
    Embedded {
        name: "google/api/annotations.proto",
        source: include_str!("../third_party/google/api/annotations.proto"),
    },
    Embedded {
        name: "google/api/http.proto",
        source: include_str!("../third_party/google/api/http.proto"),
    },
    Embedded {
        name: "mesh/v1/options.proto",
        source: include_str!("../proto/mesh/v1/options.proto"),
    },
];

/// Files whose messages contracts use.
const MESSAGES: [Embedded; 2] = [
    Embedded {
        name: "google/api/httpbody.proto",
        source: include_str!("../third_party/google/api/httpbody.proto"),
    },
    Embedded {
        name: "google/rpc/status.proto",
        source: include_str!("../third_party/google/rpc/status.proto"),
    },
];

/// The compiled files.
pub(crate) struct Compiled {
    /// For the code generators; the form that has lost its extension options.
    pub(crate) files: FileDescriptorSet,
    /// For everyone else; a `FileDescriptorSet` with all its options.
    pub(crate) encoded: Vec<u8>,
}

struct Embedded {
    name: &'static str,
    source: &'static str,
}

struct EmbeddedResolver;

/// Lists the `.proto` files under `root`, sorted, as paths that begin with `root`.
pub(crate) fn find(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = list(&dir).map_err(|source| Error::Read { path: dir, source })?;
        for (path, is_dir) in entries {
            if is_dir {
                pending.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(Error::Empty(root.to_owned()));
    }
    found.sort();
    Ok(found)
}

/// Compiles `files` and what they import: from `include_dirs` in order, then from what is built in.
pub(crate) fn compile(files: &[PathBuf], include_dirs: Vec<PathBuf>) -> Result<Compiled, Error> {
    let mut resolver = ChainFileResolver::new();
    for dir in include_dirs {
        resolver.add(IncludeFileResolver::new(dir));
    }
    resolver.add(EmbeddedResolver);
    resolver.add(GoogleFileResolver::new());

    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files).map_err(Error::Compile)?;
    Ok(Compiled {
        files: compiler.file_descriptor_set(),
        encoded: compiler.encode_file_descriptor_set(),
    })
}

/// Returns whether the file only declares options and so needs no Rust types.
pub(crate) fn is_options_only(name: &str) -> bool {
    OPTIONS.iter().any(|file| file.name == name)
}

/// Finds files below a directory. Symbolic links to directories are not followed, so there are no
/// cycles.
fn list(dir: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    fs::read_dir(dir)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.path(), entry.file_type()?.is_dir()))
        })
        .collect()
}

// === impl EmbeddedResolver ===

impl FileResolver for EmbeddedResolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let file = OPTIONS
            .iter()
            .chain(&MESSAGES)
            .find(|file| file.name == name);
        let file = file.ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(file.name, file.source)
    }
}
