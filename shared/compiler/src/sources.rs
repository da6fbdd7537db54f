//! Finds `.proto` files and compiles them, with the standard imports built in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use descriptors::Problem;
use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, GoogleFileResolver, IncludeFileResolver};

use crate::advice::{Names, advised, cycle_place};
use crate::diagnostics::{ImportHint, problems};
use crate::error::Error;
use crate::standard::StandardFiles;

/// Files of one run; large companies have this many in all.
const MAX_FILES: usize = 20_000;

/// The directories and files of a contract.
#[derive(Clone, Debug)]
pub struct Sources {
    inputs: Vec<PathBuf>,
    includes: Vec<PathBuf>,
    also: Vec<PathBuf>,
    import_hint: String,
}

/// Compiled sources: those without a mistake in their language, with their imports.
#[derive(Debug)]
pub struct Compiled {
    /// An encoded `google.protobuf.FileDescriptorSet` with imports, all options and source
    /// information.
    pub descriptor_set: Vec<u8>,
    /// The same without extension options, for generators of code.
    pub files: FileDescriptorSet,
    /// Number of files that were given, imports aside.
    pub file_count: usize,
    /// Mistakes in the language: what does not parse, and names that do not exist.
    pub problems: Vec<Problem>,
    /// Where imports were looked up.
    dirs: Vec<PathBuf>,
}

// === impl Sources ===

impl Sources {
    /// Names what is to be compiled: a directory, for every `.proto` file below it, to which
    /// imports are relative; or a file. Of a file, imports are relative to the included directory
    /// that holds it, or else to the directory that its package suggests, which for
    /// `orders/v1/orders.proto` of package `orders.v1` is the one above `orders`.
    pub fn new(inputs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Sources {
            inputs: inputs.into_iter().map(Into::into).collect(),
            includes: Vec::new(),
            also: Vec::new(),
            import_hint: "`Sources::include(dir)`".to_owned(),
        }
    }

    /// Looks imports up in `dir` too, after the inputs and the directories given before.
    pub fn include(mut self, dir: impl Into<PathBuf>) -> Self {
        self.includes.push(dir.into());
        self
    }

    /// Compiles a file too that nothing may import, by the name that imports spell, such as
    /// `google/rpc/error_details.proto`, which is in no contract but in every error.
    pub fn also(mut self, name: impl Into<PathBuf>) -> Self {
        self.also.push(name.into());
        self
    }

    /// Sets how the user adds a directory, for the text about a missing import.
    pub fn import_hint(mut self, hint: impl Into<String>) -> Self {
        self.import_hint = hint.into();
        self
    }

    /// Compiles the files and what they import: from the directories in order, then from the
    /// standard files.
    ///
    /// # Errors
    /// A file or a directory can't be read, or there is no `.proto` file.
    pub fn compile(&self) -> Result<Compiled, Error> {
        let mut files = Vec::new();
        let mut dirs: Vec<PathBuf> = Vec::new();
        for input in &self.inputs {
            if is_dir(input)? {
                files.extend(find(input)?);
                dirs.push(input.clone());
            } else {
                let (file, root) = self.rooted(input);
                files.push(file);
                dirs.extend(root);
            }
        }
        dirs.extend(self.includes.iter().cloned());
        let mut seen = BTreeSet::new();
        dirs.retain(|dir| seen.insert(dir.clone()));
        Ok(self.compile_files(&files, dirs))
    }

    fn compile_files(&self, files: &[PathBuf], dirs: Vec<PathBuf>) -> Compiled {
        let mut resolver = ChainFileResolver::new();
        for dir in &dirs {
            resolver.add(IncludeFileResolver::new(dir.clone()));
        }
        resolver.add(StandardFiles);
        resolver.add(GoogleFileResolver::new());

        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).include_source_info(true);
        let tried: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
        let hint = ImportHint {
            add: &self.import_hint,
            tried: &tried,
        };
        let mut found: Vec<Problem> = Vec::new();
        for file in files.iter().chain(&self.also) {
            let Err(error) = compiler.open_file(file) else {
                continue;
            };
            let pool = compiler.descriptor_pool();
            for mut problem in problems(&error, hint) {
                if problem.file.is_empty() {
                    problem.file = file.display().to_string();
                }
                let own = parsed(&path_in(&dirs, &problem.file));
                let names = Names {
                    pool: &pool,
                    own: own.as_ref().map(File::file_descriptor_proto),
                };
                if problem.line.is_none()
                    && let Some(own) = names.own
                    && let Some((line, column)) = cycle_place(&problem.reason, own)
                {
                    (problem.line, problem.column) = (Some(line), Some(column));
                }
                problem.reason = advised(problem.reason, &names);
                // A file with a mistake has it once, however many import it.
                if !found.contains(&problem) {
                    found.push(problem);
                }
            }
        }
        Compiled {
            descriptor_set: compiler.encode_file_descriptor_set(),
            files: compiler.file_descriptor_set(),
            file_count: files.len(),
            problems: found,
            dirs,
        }
    }

    /// Returns the file as a path below its root, and the root unless it is an included directory.
    fn rooted(&self, file: &Path) -> (PathBuf, Option<PathBuf>) {
        if self.includes.iter().any(|dir| file.starts_with(dir)) {
            return (file.to_owned(), None);
        }
        // Of a file that does not parse, the compiler tells the reason.
        let parsed = parsed(file);
        let package = parsed.map(|parsed| parsed.file_descriptor_proto().package().to_owned());
        let mut root = file.parent().unwrap_or(Path::new(""));
        let below: PathBuf = package.iter().flat_map(|name| name.split('.')).collect();
        if root.ends_with(&below) {
            let depth = below.components().count();
            root = root.ancestors().nth(depth).unwrap_or(root);
        }
        if root.as_os_str().is_empty() {
            let here = Path::new(".");
            return (here.join(file), Some(here.to_owned()));
        }
        (file.to_owned(), Some(root.to_owned()))
    }
}

// === impl Compiled ===

impl Compiled {
    /// Returns the path of a file by the name under which others import it; of a standard file, the
    /// name.
    pub fn path(&self, name: &str) -> PathBuf {
        path_in(&self.dirs, name)
    }
}

fn path_in(dirs: &[PathBuf], name: &str) -> PathBuf {
    let mut paths = dirs.iter().map(|dir| dir.join(name));
    let found = paths.find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

fn parsed(path: &Path) -> Option<File> {
    File::open("input.proto", path).ok()
}

/// Lists the `.proto` files below a directory, sorted, as paths that begin with it. Symbolic links
/// to directories are not followed, so there are no cycles.
///
/// # Errors
/// A directory can't be read, has no such file or has too many.
pub fn find(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = list(&dir).map_err(|source| Error::Read { path: dir, source })?;
        for (path, is_dir) in entries {
            if is_dir {
                pending.push(path);
            } else if path.extension().is_some_and(|ending| ending == "proto") {
                found.push(path);
            }
        }
        if found.len() > MAX_FILES {
            return Err(Error::TooMany {
                path: root.to_owned(),
                most: MAX_FILES,
            });
        }
    }
    if found.is_empty() {
        return Err(Error::Empty(root.to_owned()));
    }
    found.sort();
    Ok(found)
}

fn is_dir(path: &Path) -> Result<bool, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(metadata.is_dir())
}

fn list(dir: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    fs::read_dir(dir)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.path(), entry.file_type()?.is_dir()))
        })
        .collect()
}
