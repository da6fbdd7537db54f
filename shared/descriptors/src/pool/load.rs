//! From the bytes of a descriptor set to its definitions: decode, declare, resolve.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use prost::Message;
use prost::bytes::Bytes;

use super::declare::{Declared, Declarer};
use super::features::{Edition, Features, FileOptions};
use super::proto::{self, RawOptions, path};
use super::report::{At, Report};
use super::resolve::Resolver;
use super::source::{FileId, Locations};
use super::{FileDef, Pool};
use crate::error::{CompileError, Problem};

/// Imports from here may be missing: a schema knows the well-known types by itself, and reads
/// options without their definitions.
const LANGUAGE_FILES: &str = "google/protobuf/";

/// A decoded file, and the features that its elements begin with.
#[derive(Debug)]
pub(super) struct LoadedFile {
    pub(super) proto: proto::File,
    pub(super) features: Features,
}

/// Resolves an encoded `FileDescriptorSet`, whose files may come in any order. `builtin` gives more
/// files, told the full names of the messages that the set has at the top of its files. Also
/// returns remarks that are not faults.
///
/// # Errors
/// Everything that is wrong with the set.
pub(crate) fn load(
    set: &[u8],
    builtin: impl FnOnce(&HashSet<String>) -> Vec<proto::File>,
) -> Result<(Pool, Vec<Problem>), CompileError> {
    let mut report = Report::default();
    let mut protos = decode(set, &mut report);
    let own: HashSet<String> = protos.iter().flat_map(top_level).collect();
    protos.extend(builtin(&own));

    let mut files = Vec::with_capacity(protos.len());
    for (id, proto) in protos.into_iter().enumerate() {
        report.add_file(&proto.name);
        files.push(loaded(id, proto, &mut report));
    }
    let locations: Vec<Locations<'_>> = files
        .iter()
        .map(|file| Locations::new(file.proto.source_code_info.as_ref()))
        .collect();
    check_imports(&files, &locations, &mut report);

    let mut declared = Declared::default();
    for (id, (file, locations)) in files.iter().zip(&locations).enumerate() {
        Declarer {
            declared: &mut declared,
            report: &mut report,
            file: id,
            locations,
        }
        .file(file);
    }
    let mut pool = Resolver::new(&declared, &locations, &mut report).resolve();
    pool.files = files
        .iter()
        .map(|file| FileDef {
            name: file.proto.name.as_str().into(),
        })
        .collect();
    Ok((pool, report.finish()?))
}

/// Returns the files of the set. The same bytes under the same name are one file; several sources
/// often bring the same imports.
fn decode(set: &[u8], report: &mut Report) -> Vec<proto::File> {
    // No file has an index yet.
    let nowhere = At {
        file: FileId::MAX,
        line: None,
        element: "",
    };
    let set = match proto::FileSet::decode(Bytes::copy_from_slice(set)) {
        Ok(set) => set,
        Err(error) => {
            report.problem(nowhere, format!("not a FileDescriptorSet: {error}"));
            return Vec::new();
        }
    };
    let mut files = Vec::with_capacity(set.files.len());
    let mut known: HashMap<String, Bytes> = HashMap::new();
    for (index, bytes) in set.files.into_iter().enumerate() {
        let file = match proto::File::decode(bytes.clone()) {
            Ok(file) => file,
            Err(error) => {
                report.problem(
                    nowhere,
                    format!("file {index} of the set is malformed: {error}"),
                );
                continue;
            }
        };
        match known.entry(file.name.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(bytes);
                files.push(file);
            }
            Entry::Occupied(first) if *first.get() == bytes => {}
            Entry::Occupied(_) => report.problem(
                nowhere,
                format!(
                    "the set has two files {:?} with different content",
                    file.name
                ),
            ),
        }
    }
    files
}

fn top_level(file: &proto::File) -> impl Iterator<Item = String> {
    let name = |message: &proto::MessageType| super::symbols::join(&file.package, &message.name);
    file.messages.iter().map(name)
}

fn loaded(id: FileId, proto: proto::File, report: &mut Report) -> LoadedFile {
    let mut problem = |tag: i32, reason: String| {
        let lines = Locations::new(proto.source_code_info.as_ref());
        let at = At {
            file: id,
            line: lines.line(&[tag]),
            element: "",
        };
        report.problem(at, reason);
    };
    let edition = Edition::of(&proto).unwrap_or_else(|reason| {
        let tag = if proto.edition == 0 {
            path::FILE_SYNTAX
        } else {
            path::FILE_EDITION
        };
        problem(tag, reason);
        Edition::Proto3
    });
    let options: FileOptions =
        RawOptions::merged(&proto.options)
            .decode()
            .unwrap_or_else(|error| {
                problem(path::FILE_OPTIONS, format!("malformed options: {error}"));
                FileOptions::default()
            });
    let features = edition
        .defaults()
        .with(options.features)
        .unwrap_or_else(|reason| {
            problem(path::FILE_OPTIONS, reason);
            edition.defaults()
        });
    LoadedFile { proto, features }
}

fn check_imports(files: &[LoadedFile], locations: &[Locations<'_>], report: &mut Report) {
    let names: HashSet<&str> = files.iter().map(|file| file.proto.name.as_str()).collect();
    for (id, (file, lines)) in files.iter().zip(locations).enumerate() {
        let weak: HashSet<i32> = file.proto.weak_dependencies.iter().copied().collect();
        for (import, index) in file.proto.dependencies.iter().zip(0..) {
            let is_needed = !import.starts_with(LANGUAGE_FILES) && !weak.contains(&index);
            if is_needed && !names.contains(import.as_str()) {
                let at = At {
                    file: id,
                    line: lines.line(&[path::FILE_DEPENDENCY, index]),
                    element: "",
                };
                report.problem(at, format!("the set lacks the import {import:?}"));
            }
        }
    }
}
