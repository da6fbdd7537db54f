//! Descriptor files: encoded `google.protobuf.FileDescriptorSet`s on disk, read again when they
//! change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorProto;

use crate::declarations::Declarations;
use crate::encoded::{MAX_TOTAL_BYTES, qualified};

/// The files of one upstream, as last read.
#[derive(Clone, Debug, Default)]
pub(crate) struct DescriptorFiles {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
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
}

/// A failure to use a descriptor file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{}` cannot be read: {error}", path.display())]
    Read {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("`{}` is larger than {MAX_TOTAL_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "`{}` is not an encoded FileDescriptorSet, as protoc and buf write with the ending .binpb: {error}",
        path.display()
    )]
    Malformed {
        path: PathBuf,
        error: prost::DecodeError,
    },
    #[error("`{}` holds no file", .0.display())]
    Empty(PathBuf),
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
            stamps: Vec::new(),
            sets: Vec::new(),
            declarations: Arc::default(),
        }
    }

    /// Returns what the files declared when they were read last; of two with one name, the first.
    pub(crate) fn declarations(&self) -> Arc<Declarations> {
        self.declarations.clone()
    }

    /// Returns the content of the files, in the order of the paths. Files of unchanged size and
    /// time are not read again.
    pub(crate) async fn current(&mut self) -> Result<&[DescriptorSet], Error> {
        let mut stamps = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            stamps.push(stamp(path).await?);
        }
        if stamps != self.stamps {
            let mut sets = Vec::with_capacity(self.paths.len());
            for path in &self.paths {
                sets.push(read(path).await?);
            }
            // Later entries replace earlier ones.
            let files = sets.iter().rev().flat_map(|set| set.files.clone());
            self.declarations = Arc::new(Declarations::new(files.collect()));
            (self.stamps, self.sets) = (stamps, sets);
        }
        Ok(&self.sets)
    }
}

async fn stamp(path: &Path) -> Result<Stamp, Error> {
    let metadata = tokio::fs::metadata(path)
        .await
        .map_err(|error| Error::Read {
            path: path.to_owned(),
            error,
        })?;
    if metadata.len() > MAX_TOTAL_BYTES as u64 {
        return Err(Error::TooLarge(path.to_owned()));
    }
    Ok((metadata.len(), metadata.modified().ok()))
}

async fn read(path: &Path) -> Result<DescriptorSet, Error> {
    let content = tokio::fs::read(path).await.map_err(|error| Error::Read {
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
    Ok(set)
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
