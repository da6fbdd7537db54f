//! The contract to compare with: a git revision, a descriptor set, or a directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use compiler::{Checked, Contract};
use tempfile::TempDir;

use super::{compile, listed};

/// A descriptor set larger than this is a mistake.
const MAX_SET_BYTES: u64 = 64 * 1024 * 1024;

/// Reads the contract that `against` names: a path if there is one, else a git revision, at which
/// the same paths are read.
pub(super) fn read(against: &str, paths: &[PathBuf], includes: &[PathBuf]) -> Result<Contract> {
    let path = Path::new(against);
    if path.is_dir() || path.extension() == Some(OsStr::new("proto")) {
        return of_sources(against, &[path.to_owned()], includes);
    }
    if path.is_file() {
        return of_set(path);
    }
    let revision = Revision::export(against, paths, "*.proto")?;
    let then: Vec<PathBuf> = paths
        .iter()
        .map(|path| revision.path(path))
        .filter(|path| path.exists())
        .collect();
    if then.is_empty() {
        let names: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        bail!("`{against}` has no .proto file in {}", names.join(", "));
    }
    let includes: Vec<PathBuf> = includes.iter().map(|dir| revision.path(dir)).collect();
    of_sources(against, &then, &includes)
}

fn of_sources(name: &str, paths: &[PathBuf], includes: &[PathBuf]) -> Result<Contract> {
    let compiled = compile(paths, includes).with_context(|| format!("cannot read `{name}`"))?;
    if !compiled.problems.is_empty() {
        bail!(
            "the contracts of `{name}` do not compile:\n{}",
            listed(&compiled.problems)
        );
    }
    loaded(name, compiled.check())
}

fn of_set(path: &Path) -> Result<Contract> {
    let name = path.display().to_string();
    let size = fs::metadata(path)
        .with_context(|| format!("cannot read `{name}`"))?
        .len();
    if size > MAX_SET_BYTES {
        bail!("`{name}` is larger than {MAX_SET_BYTES} bytes");
    }
    let set = fs::read(path).with_context(|| format!("cannot read `{name}`"))?;
    loaded(&name, Checked::of_set(&set))
}

/// Routes and rules that are mistakes are not compared; they don't keep the others from it.
fn loaded(name: &str, checked: Checked) -> Result<Contract> {
    match checked.contract {
        Some(contract) => Ok(contract),
        None => bail!(
            "`{name}` is no descriptor set that loads, as `buf build -o x.binpb` writes one:\n{}",
            listed(&checked.mistakes)
        ),
    }
}

/// The files of one kind of a repository at one revision.
pub(super) struct Revision {
    top: PathBuf,
    files: TempDir,
}

// === impl Revision ===

impl Revision {
    /// Writes the files that match a pattern to a directory of their own. An index of its own keeps
    /// the repository's untouched.
    pub(super) fn export(name: &str, paths: &[PathBuf], pattern: &str) -> Result<Self> {
        let here = paths.first().map_or(Path::new("."), |path| directory(path));
        let top = git(here, &["rev-parse", "--show-toplevel"], None)
            .with_context(|| format!("`{name}` is no file, and no revision can be read"))?;
        let top = PathBuf::from(top.trim_end_matches('\n'));
        let tree = format!("{name}^{{tree}}");
        let tree = git(
            &top,
            &[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &tree,
            ],
            None,
        );
        let Ok(tree) = tree else {
            bail!(
                "`{name}` is neither a file nor a revision of {}",
                top.display()
            );
        };
        let files = TempDir::new().context("cannot create a temporary directory")?;
        let index = files.path().join("index");
        git(&top, &["read-tree", tree.trim()], Some(&index))?;
        let names = git(&top, &["ls-files", "-z", "--", pattern], Some(&index))?;
        let list = files.path().join("list");
        fs::write(&list, names).context("cannot write a temporary file")?;
        let prefix = format!("--prefix={}/", files.path().join("tree").display());
        let mut checkout = command(&top, &["checkout-index", "-z", "--stdin", &prefix]);
        checkout.env("GIT_INDEX_FILE", &index);
        checkout.stdin(File::open(&list).context("cannot read a temporary file")?);
        output(checkout)?;
        Ok(Revision { top, files })
    }

    /// Returns where a path of today was written; one outside the repository stays what it is.
    pub(super) fn path(&self, today: &Path) -> PathBuf {
        let absolute = std::path::absolute(today).unwrap_or_else(|_| today.to_owned());
        // Links in the way to the repository are followed, as git does.
        let resolved = fs::canonicalize(&absolute).unwrap_or(absolute);
        match resolved.strip_prefix(&self.top) {
            Ok(relative) => self.files.path().join("tree").join(relative),
            Err(_) => today.to_owned(),
        }
    }
}

fn directory(path: &Path) -> &Path {
    let parent = || path.parent().filter(|dir| !dir.as_os_str().is_empty());
    match path.is_dir() {
        true => path,
        false => parent().unwrap_or(Path::new(".")),
    }
}

fn git(dir: &Path, arguments: &[&str], index: Option<&Path>) -> Result<String> {
    let mut command = command(dir, arguments);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    output(command)
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> Result<String> {
    let output = command.output().context("cannot run git")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("git failed: {}", told.trim());
    }
    String::from_utf8(output.stdout).context("git names a file that is not UTF-8")
}
