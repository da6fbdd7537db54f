//! The crates that services depend on: those that the command carries, a checkout, or a repository.
//!
//! A project names them by version. Until a registry has them, `.cargo/config.toml` of the project
//! says where they are instead.

mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

pub(crate) use unpack::unpack;

/// Crates that the manifest of a service names.
const NAMED: [&str; 3] = ["protomesh", "codegen", "protomesh-testing"];
/// The file that says where the crates are.
const CONFIG: &str = ".cargo/config.toml";
/// The crates that images are built from, relative to the project.
const PACKED: &str = ".mesh/image";
/// Where the files of the project are while an image is built: `WORKDIR` of the Dockerfile.
const SOURCES: &str = "/src";
/// First line of a file that this command may write again.
const MARK: &str = "# Written by `mesh`, which writes it again: keep it out of the repository.";

/// Where the crates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The ones that this command carries.
    Carried,
    /// A checkout.
    Dir(PathBuf),
    /// A repository of git.
    Git(String),
}

// === impl Source ===

impl Source {
    /// Reads the argument of `--crates`.
    ///
    /// # Errors
    /// When it is neither a URL nor a directory with the crates.
    pub(crate) fn parse(argument: Option<&str>) -> Result<Self> {
        let Some(argument) = argument else {
            return Ok(Self::Carried);
        };
        if argument.contains("://") || argument.starts_with("git@") {
            return Ok(Self::Git(argument.to_owned()));
        }
        let dir = fs::canonicalize(argument)
            .with_context(|| format!("--crates {argument}: expected a directory or a git URL"))?;
        Ok(Self::Dir(dir))
    }

    /// Makes the crates available to the project at `root`.
    ///
    /// # Errors
    /// When the file that says so is the user's own, or can't be written.
    pub(crate) fn provide(&self, root: &Path) -> Result<()> {
        let patches = match self {
            Self::Carried => patches(&unpack()?, None)?,
            Self::Dir(dir) => patches(dir, None)?,
            // The same crates as the carried ones, at another place.
            Self::Git(url) => patches(&unpack()?, Some(url))?,
        };
        let file = root.join(CONFIG);
        match fs::read_to_string(&file) {
            Ok(text) if text == patches => return Ok(()),
            Ok(text) if !text.starts_with(MARK) => bail!(
                "{} is not written by `mesh`: rename it, run this again, and add its lines",
                file.display()
            ),
            _ => {}
        }
        let dir = file.parent().unwrap_or(root);
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        fs::write(&file, patches).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Makes the crates available to the project at `root`, with the versions of other crates that they
/// were tested with, unless the project has chosen versions already.
///
/// # Errors
/// See [`Source::provide`].
pub(crate) fn lock(root: &Path, source: &Source) -> Result<()> {
    source.provide(root)?;
    let lock = root.join("Cargo.lock");
    if lock.exists() {
        return Ok(());
    }
    let tested = match source {
        Source::Dir(dir) => dir.join("Cargo.lock"),
        Source::Carried | Source::Git(_) => unpack()?.join("Cargo.lock"),
    };
    fs::copy(&tested, &lock).with_context(|| format!("cannot write {}", lock.display()))?;
    Ok(())
}

/// Copies the contracts that those of any language import to `third_party/` of the project at
/// `root`; files that are there stay.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn imports(root: &Path, source: &Source) -> Result<()> {
    let dir = match source {
        Source::Dir(dir) => dir.clone(),
        Source::Carried | Source::Git(_) => unpack()?,
    };
    for part in ["shared/compiler/third_party", "shared/compiler/proto"] {
        let target = root.join("third_party");
        copy(&dir.join(part), &target)
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to)?;
        } else if !to.exists() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// Writes the file of the project at `root` again if it needs one: its Cargo services depend on the
/// crates, and a fresh clone has no file, or an older command has written it. A file that names a
/// checkout or a repository stays.
///
/// # Errors
/// When the crates can't be unpacked or the file can't be written.
pub(crate) fn refresh(root: &Path) -> Result<()> {
    if !root.join("Cargo.toml").is_file() || !root.join("Cargo.lock").is_file() {
        return Ok(());
    }
    match fs::read_to_string(root.join(CONFIG)) {
        Ok(text) if text.starts_with(MARK) && text.contains(unpack::PREFIX) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    let names = fs::read_to_string(root.join("Cargo.lock"))?;
    if names.contains("name = \"protomesh\"") {
        Source::Carried.provide(root)?;
    }
    Ok(())
}

/// Copies the carried crates to where the images of the project at `root` are built from, with the
/// configuration of Cargo that names them there: the gateway is one of them, and Cargo services
/// depend on others. Crates of a repository are named as they are.
///
/// # Errors
/// When a file can't be written, or the services depend on crates of a checkout, which no image can
/// be built from.
pub(crate) fn pack(root: &Path) -> Result<()> {
    let carried = unpack()?;
    let place = root.join(PACKED);
    let own = fs::read_to_string(root.join(CONFIG)).unwrap_or_default();
    let lines = if !own.starts_with(MARK) || own.contains(unpack::PREFIX) {
        patches_at(&carried, &Path::new(SOURCES).join(PACKED).join("crates"))?
    } else if own.contains("git = ") {
        own
    } else {
        bail!(
            "{CONFIG} names crates of a checkout: an image needs carried ones, or those of a repository"
        );
    };
    let describe = || format!("cannot write {}", place.display());
    let crates = place.join("crates");
    if crates.exists() {
        fs::remove_dir_all(&crates).with_context(describe)?;
    }
    copy(&carried, &crates).with_context(describe)?;
    fs::write(place.join("cargo.toml"), lines).with_context(describe)
}

/// Returns the lines that replace the crates of the registry by those at `dir`, or by those of the
/// same names in a repository.
fn patches(dir: &Path, git: Option<&str>) -> Result<String> {
    let Some(url) = git else {
        return patches_at(dir, dir);
    };
    let place = |_: &Path| format!("git = {url:?}");
    written(dir, place)
}

/// Returns the lines for the crates of `dir` once they are at `place`.
fn patches_at(dir: &Path, place: &Path) -> Result<String> {
    let path = |name: &Path| format!("path = {:?}", place.join(name).display().to_string());
    written(dir, path)
}

fn written(dir: &Path, place: impl Fn(&Path) -> String) -> Result<String> {
    let mut text = format!("{MARK}\n[patch.crates-io]\n");
    for (name, path) in closure(dir)? {
        writeln!(text, "{name} = {{ {} }}", place(&path))?;
    }
    Ok(text)
}

/// Returns the packages that a service needs, each with its directory: those that its manifest
/// names, and what these depend on in the same workspace.
fn closure(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let root = manifest(&dir.join("Cargo.toml"))?;
    let known = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"));
    let known = known.and_then(Value::as_table).with_context(|| {
        format!(
            "{} has no crates: its Cargo.toml has no workspace of them",
            dir.display()
        )
    })?;
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = NAMED.iter().map(|&name| name.to_owned()).collect();
    while let Some(alias) = open.pop() {
        let Some(dependency) = known.get(&alias) else {
            continue;
        };
        let path = dependency
            .get("path")
            .and_then(Value::as_str)
            .map(PathBuf::from);
        let Some(path) = path.filter(|_| seen.insert(alias.clone())) else {
            continue;
        };
        let package = dependency
            .get("package")
            .and_then(Value::as_str)
            .unwrap_or(&alias);
        let manifest = manifest(&dir.join(&path).join("Cargo.toml"))?;
        for kind in ["dependencies", "build-dependencies"] {
            let dependencies = manifest.get(kind).and_then(Value::as_table);
            open.extend(
                dependencies
                    .into_iter()
                    .flat_map(|table| table.keys().cloned()),
            );
        }
        found.insert(package.to_owned(), path);
    }
    if !found.contains_key("protomesh") {
        bail!("{} has no crate protomesh", dir.display());
    }
    Ok(found)
}

fn manifest(file: &Path) -> Result<Table> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.parse()
        .with_context(|| format!("{} is not valid", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gets_what_its_crates_depend_on_and_no_more() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found = closure(&checkout).unwrap();
        for name in [
            "protomesh",
            "protomesh-codegen",
            "protomesh-events",
            "protomesh-wire",
        ] {
            assert!(found.contains_key(name), "{name} is missing: {found:?}");
        }
        for name in ["protomesh-gateway", "protomesh-samples", "protos"] {
            assert!(!found.contains_key(name), "{name} is of no use: {found:?}");
        }
    }

    #[test]
    fn images_are_built_from_the_carried_crates() {
        let project = tempfile::tempdir().unwrap();
        let root = project.path();
        pack(root).unwrap();
        pack(root).unwrap();
        let text = fs::read_to_string(root.join(".mesh/image/cargo.toml")).unwrap();
        let line = "protomesh = { path = \"/src/.mesh/image/crates/shared/protomesh\" }";
        assert!(text.contains(line), "{text}");
        assert!(
            root.join(".mesh/image/crates/gateway/src/main.rs")
                .is_file()
        );
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Source::Dir(checkout).provide(root).unwrap();
        let error = pack(root).unwrap_err().to_string();
        assert!(error.contains("a checkout"), "{error}");
    }

    #[test]
    fn a_file_of_the_user_stays() {
        let project = tempfile::tempdir().unwrap();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let source = Source::Dir(checkout);
        source.provide(project.path()).unwrap();
        source.provide(project.path()).unwrap();
        let file = project.path().join(CONFIG);
        fs::write(&file, "[alias]\n").unwrap();
        let error = source.provide(project.path()).unwrap_err().to_string();
        assert!(error.contains("is not written by `mesh`"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "[alias]\n");
    }
}
