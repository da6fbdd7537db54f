//! Descriptor files: encoded `google.protobuf.FileDescriptorSet`s on disk, or the `.proto` files
//! that one is compiled from; read again when they change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use bytes::Bytes;
use compiler::Sources;
use prost::Message;
use prost_types::FileDescriptorProto;

use crate::declarations::Declarations;
use crate::encoded::{MAX_TOTAL_BYTES, qualified};

#[cfg(test)]
mod tests;

/// The files of one upstream, as last read.
#[derive(Clone, Debug, Default)]
pub(crate) struct DescriptorFiles {
    paths: Vec<PathBuf>,
    /// The files that were read, with what they looked like before.
    stamps: BTreeMap<PathBuf, Stamp>,
    sets: Vec<DescriptorSet>,
    declarations: Arc<Declarations>,
}

/// The content of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct DescriptorSet {
    /// Encoded `google.protobuf.FileDescriptorProto` by name.
    pub(crate) files: BTreeMap<String, Bytes>,
    /// The file that declares each service, by full name.
    pub(crate) services: BTreeMap<String, String>,
    /// The files on disk that it was read from.
    read: Vec<PathBuf>,
}

/// A failure to use a descriptor file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{}` cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("`{}` is larger than {MAX_TOTAL_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "`{}` is not an encoded FileDescriptorSet, as protoc and buf write with the ending .binpb, nor a \
         .proto file or a directory of them: {error}",
        path.display()
    )]
    Malformed {
        path: PathBuf,
        error: prost::DecodeError,
    },
    #[error("`{}` holds no file", .0.display())]
    Empty(PathBuf),
    #[error(transparent)]
    Sources(#[from] compiler::Error),
    #[error("`{}` does not compile:\n{mistakes}", path.display())]
    Mistakes { path: PathBuf, mistakes: String },
    #[error("the compiler failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Size and modification time, which change when a file is written or replaced.
type Stamp = (u64, Option<SystemTime>);

/// `google.protobuf.FileDescriptorSet`, its files still encoded: decoding would drop their
/// extensions.
#[derive(prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

// === impl DescriptorFiles ===

impl DescriptorFiles {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            ..Self::default()
        }
    }

    /// Returns what the files declared when they were read last; of two with one name, the first.
    pub(crate) fn declarations(&self) -> Arc<Declarations> {
        self.declarations.clone()
    }

    /// Returns the content of the files, in the order of the paths. Files of unchanged size and
    /// time are not read again.
    pub(crate) async fn current(&mut self) -> Result<&[DescriptorSet], Error> {
        let (paths, known) = (self.paths.clone(), self.stamps.clone());
        let read = tokio::task::spawn_blocking(move || changed(&paths, &known)).await??;
        if let Some((stamps, sets)) = read {
            // Later entries replace earlier ones.
            let files = sets.iter().rev().flat_map(|set| set.files.clone());
            self.declarations = Arc::new(Declarations::new(files.collect()));
            (self.stamps, self.sets) = (stamps, sets);
        }
        Ok(&self.sets)
    }
}

type Stamps = BTreeMap<PathBuf, Stamp>;

/// Reads all paths, if a file looks otherwise than `known`; `None` where none does.
fn changed(
    paths: &[PathBuf],
    known: &Stamps,
) -> Result<Option<(Stamps, Vec<DescriptorSet>)>, Error> {
    let mut stamps = Stamps::new();
    for path in paths {
        let files = match path.is_dir() {
            true => compiler::find(path)?,
            false => vec![path.clone()],
        };
        let mut total = 0;
        for file in files {
            let stamp = stamp(&file)?;
            total += stamp.0;
            stamps.insert(file, stamp);
        }
        if total > MAX_TOTAL_BYTES as u64 {
            return Err(Error::TooLarge(path.clone()));
        }
    }
    for import in known.keys().filter(|file| !is_within(file, paths)) {
        stamps.insert(import.clone(), stamp(import).unwrap_or_default());
    }
    if stamps == *known && !known.is_empty() {
        return Ok(None);
    }
    let sets: Vec<DescriptorSet> = paths
        .iter()
        .map(|path| read(path, paths))
        .collect::<Result<_, _>>()?;
    // An import is known once it was read; that it has no stamp yet has it read once more, so that
    // no change in between is missed.
    let read: BTreeSet<&PathBuf> = sets.iter().flat_map(|set| &set.read).collect();
    stamps.retain(|file, _| read.contains(file));
    for file in read {
        stamps.entry(file.clone()).or_default();
    }
    Ok(Some((stamps, sets)))
}

fn is_within(file: &Path, paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| file.starts_with(path))
}

fn stamp(path: &Path) -> Result<Stamp, Error> {
    let metadata = fs::metadata(path).map_err(|error| Error::Read {
        path: path.to_owned(),
        error,
    })?;
    Ok((metadata.len(), metadata.modified().ok()))
}

fn read(path: &Path, paths: &[PathBuf]) -> Result<DescriptorSet, Error> {
    if path.is_dir() || path.extension().is_some_and(|ending| ending == "proto") {
        return compile(path, paths);
    }
    let content = fs::read(path).map_err(|error| Error::Read {
        path: path.to_owned(),
        error,
    })?;
    let set = DescriptorSet::decode(content.into()).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        error,
    })?;
    if set.files.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok(DescriptorSet {
        read: vec![path.to_owned()],
        ..set
    })
}

/// Compiles a `.proto` file or a directory of them; the other directories are for its imports.
fn compile(path: &Path, paths: &[PathBuf]) -> Result<DescriptorSet, Error> {
    let sources = Sources::new([path]).import_hint("one more `--proto DIR`");
    let others = paths
        .iter()
        .filter(|other| *other != path && other.is_dir());
    let sources = others.fold(sources, |sources, dir| sources.include(dir));
    let compiled = sources.compile()?;
    if !compiled.problems.is_empty() {
        return Err(Error::Mistakes {
            path: path.to_owned(),
            mistakes: compiler::listed(&compiled.problems),
        });
    }
    let set = DescriptorSet::decode(compiled.descriptor_set.clone().into());
    let set = set.map_err(|error| Error::Malformed {
        path: path.to_owned(),
        error,
    })?;
    let files = set.files.keys().map(|name| compiled.path(name));
    let read = files.filter(|file| file.is_file()).collect();
    Ok(DescriptorSet { read, ..set })
}

// === impl DescriptorSet ===

impl DescriptorSet {
    pub(crate) fn decode(content: Bytes) -> Result<Self, prost::DecodeError> {
        let mut set = Self::default();
        for raw in RawSet::decode(content)?.files {
            let file = FileDescriptorProto::decode(raw.clone())?;
            for service in &file.service {
                let name = qualified(file.package(), service.name());
                set.services.insert(name, file.name().to_owned());
            }
            set.files.insert(file.name().to_owned(), raw);
        }
        Ok(set)
    }
}
