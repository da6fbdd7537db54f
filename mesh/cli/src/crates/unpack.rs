//! Unpacks the carried crates into the cache of the user, once per content.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// The archive of `build.rs`.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crates.zip"));
/// First part of the name of a directory with carried crates.
pub(super) const PREFIX: &str = "protomesh/crates-";
/// Cargo writes this one again where a program of the workspace is built.
const REWRITTEN: &str = "Cargo.lock";
/// Bytes of the hash in the name of a directory.
const HASH_BYTES: usize = 8;

/// Returns the directory of the carried crates, a workspace; it is unpacked unless its content is
/// there already.
///
/// # Errors
/// When the cache can't be written.
pub(crate) fn unpack() -> Result<PathBuf> {
    let cache = cache()?;
    let hash: String = Sha256::digest(ARCHIVE)
        .iter()
        .take(HASH_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("{PREFIX}{}-{hash}", env!("CARGO_PKG_VERSION"));
    unpack_to(&cache.join(name))
}

fn unpack_to(target: &Path) -> Result<PathBuf> {
    let mut archive = ZipArchive::new(Cursor::new(ARCHIVE)).context("the carried crates")?;
    if is_unpacked(&mut archive, target) {
        return Ok(target.to_owned());
    }
    let parent = target.parent().unwrap_or(target);
    let describe = || format!("cannot unpack the crates into {}", parent.display());
    fs::create_dir_all(parent).with_context(describe)?;
    let fresh = tempfile::Builder::new()
        .prefix(".crates-")
        .tempdir_in(parent)
        .with_context(describe)?;
    let made = fresh.path().join("new");
    archive.extract(&made).with_context(describe)?;
    // Somebody has changed the directory, or another process is as far as this one: the content
    // of both is the same, so either may win.
    if target.exists() {
        fs::rename(target, fresh.path().join("old")).with_context(describe)?;
    }
    match fs::rename(&made, target) {
        Err(_) if is_unpacked(&mut archive, target) => {}
        renamed => renamed.with_context(describe)?,
    }
    Ok(target.to_owned())
}

/// Returns whether a directory has every file with its content.
fn is_unpacked(archive: &mut ZipArchive<Cursor<&'static [u8]>>, dir: &Path) -> bool {
    let mut wanted = Vec::new();
    (0..archive.len()).all(|index| {
        let same = archive
            .by_index(index)
            .map_err(io::Error::from)
            .and_then(|mut file| {
                let name = file.enclosed_name().ok_or(io::ErrorKind::InvalidData)?;
                if name == Path::new(REWRITTEN) {
                    return Ok(dir.join(name).is_file());
                }
                wanted.clear();
                file.read_to_end(&mut wanted)?;
                Ok(fs::read(dir.join(name))? == wanted)
            });
        same.unwrap_or(false)
    })
}

/// Returns the cache of the user (XDG Base Directory Specification).
fn cache() -> Result<PathBuf> {
    let of = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    of("XDG_CACHE_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".cache")))
        .context("neither HOME nor XDG_CACHE_HOME is set: no place for the crates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_are_a_workspace_without_the_example() {
        let cache = tempfile::tempdir().unwrap();
        let dir = unpack_to(&cache.path().join("a/crates")).unwrap();
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("shared/events") && !manifest.contains("services/"),
            "{manifest}"
        );
        assert!(dir.join("shared/events/.sqlx").is_dir() && dir.join("Cargo.lock").is_file());
        assert!(!dir.join("services").exists() && !dir.join("proto").exists());
    }

    #[test]
    fn a_changed_file_is_put_right() {
        let cache = tempfile::tempdir().unwrap();
        let target = cache.path().join("crates");
        unpack_to(&target).unwrap();
        let file = target.join("shared/wire/src/lib.rs");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, "").unwrap();
        unpack_to(&target).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        assert_eq!(
            fs::read_dir(cache.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }
}
