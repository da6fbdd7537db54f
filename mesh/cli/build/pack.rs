//! Packs the crates that ship into an archive: a workspace of its own, with their sources only.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::{Table, Value};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

/// Directories that hold the crates, relative to the root.
const CRATES: [&str; 6] = [
    "shared/*",
    "gateway",
    "gateway/*",
    "connect",
    "connect/*",
    "mesh/*",
];
/// Parts of a crate that are packed: everything that a build reads, no tests, no benchmarks.
const PARTS: [&str; 12] = [
    "Cargo.toml",
    "README.md",
    "assets",
    "build.rs",
    "build",
    "config.default.toml",
    "migrations",
    "proto",
    "sqlx.toml",
    "src",
    "templates",
    "third_party",
];
/// More parts with names that other crates don't have.
const MORE_PARTS: [&str; 3] = [".sqlx", "clients.lock.toml", "engines.lock.toml"];
/// Files of the root that the crates need.
const ROOT: [&str; 3] = ["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];
/// Crates that are of no use elsewhere.
const LEFT_OUT: [&str; 1] = ["gateway/fuzz"];

/// The archive with the files and directories that it was made of.
pub(crate) struct Packed {
    pub(crate) archive: Vec<u8>,
    pub(crate) inputs: BTreeSet<PathBuf>,
}

/// Packs the workspace at `root`; the same sources give the same bytes.
///
/// # Errors
/// When a file can't be read, or the manifest of the workspace is not as expected.
pub(crate) fn workspace(root: &Path) -> Result<Packed, Box<dyn Error>> {
    let crates = crates(root)?;
    let mut files: BTreeSet<PathBuf> = ROOT.iter().map(PathBuf::from).collect();
    // A new file in a directory changes the archive, too.
    let mut inputs = BTreeSet::from([root.join("Cargo.toml")]);
    for place in &crates {
        for part in PARTS.iter().chain(&MORE_PARTS) {
            collect(root, &place.join(part), &mut files, &mut inputs)?;
        }
    }
    inputs.extend(files.iter().map(|file| root.join(file)));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let manifest = manifest(&fs::read_to_string(root.join("Cargo.toml"))?, &crates)?;
    add(&mut archive, Path::new("Cargo.toml"), manifest.as_bytes())?;
    for file in &files {
        add(&mut archive, file, &fs::read(root.join(file))?)?;
    }
    Ok(Packed {
        archive: archive.finish()?.into_inner(),
        inputs,
    })
}

/// Lists the directories of the crates, relative to the root, sorted.
fn crates(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for place in CRATES {
        let Some(parent) = place.strip_suffix("/*") else {
            found.insert(PathBuf::from(place));
            continue;
        };
        found.insert(PathBuf::from(parent));
        for entry in fs::read_dir(root.join(parent))? {
            found.insert(Path::new(parent).join(entry?.file_name()));
        }
    }
    found.retain(|place| {
        let is_left_out = LEFT_OUT.iter().any(|other| place == Path::new(other));
        !is_left_out && root.join(place).join("Cargo.toml").is_file()
    });
    Ok(found)
}

/// Adds the files at `part`, which may be a file, a directory, or nothing, and the directories.
fn collect(
    root: &Path,
    part: &Path,
    files: &mut BTreeSet<PathBuf>,
    dirs: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let path = root.join(part);
    if path.is_file() {
        files.insert(part.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(&path)? {
            collect(root, &part.join(entry?.file_name()), files, dirs)?;
        }
        dirs.insert(path);
    }
    Ok(())
}

/// Returns the manifest of the packed workspace: that of the whole one, without other members.
fn manifest(text: &str, crates: &BTreeSet<PathBuf>) -> Result<String, Box<dyn Error>> {
    let mut root: Table = text.parse()?;
    // The root crate and its tables are not packed.
    root.retain(|key, _| ["workspace", "profile"].contains(&key));
    let workspace = root.get_mut("workspace").and_then(Value::as_table_mut);
    let workspace = workspace.ok_or("Cargo.toml has no [workspace]")?;
    workspace.remove("default-members");
    let members = crates
        .iter()
        .map(|place| Value::from(place.display().to_string()));
    workspace.insert("members".to_owned(), members.collect::<Vec<_>>().into());
    let dependencies = workspace
        .get_mut("dependencies")
        .and_then(Value::as_table_mut);
    let dependencies = dependencies.ok_or("Cargo.toml has no [workspace.dependencies]")?;
    dependencies.retain(|_, dependency| {
        let path = dependency.get("path").and_then(Value::as_str);
        path.is_none_or(|path| crates.contains(Path::new(path)))
    });
    Ok(toml::to_string(&root)?)
}

fn add(
    archive: &mut ZipWriter<Cursor<Vec<u8>>>,
    name: &Path,
    content: &[u8],
) -> Result<(), Box<dyn Error>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    archive.start_file(name.display().to_string(), options)?;
    archive.write_all(content)?;
    Ok(())
}
