//! `mesh add`: one more service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mesh::project::{FILE, root_of};
use mesh::ui;

use crate::crates::{self, Source};
use crate::edit;
use crate::name;
use crate::templates::{self, File, Lang, render};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the service: letters, digits and `_`; also that of its package in contracts
    service: String,
    /// Language
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// Where the Rust crates come from: a checkout, or the URL of a git repository [default: those
    /// that this command carries]
    #[arg(long, value_name = "PATH|GIT")]
    crates: Option<String>,
}

/// Adds a service to the project of the working directory.
pub(crate) fn add(args: &Args) -> Result<ExitCode> {
    let here = std::env::current_dir().context("the current directory is unknown")?;
    let root = root_of(&here)?;
    let added = service(
        root,
        &args.service,
        args.lang,
        &Source::parse(args.crates.as_deref())?,
    )?;
    for path in added {
        ui::print(format!("  {}", path.display()));
    }
    let name = &args.service;
    ui::print(format!(
        "added {name}: `mesh up` runs it; services/{name}/README.md says more"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Adds a service to the project at `root`; returns the files that it wrote. Nothing is written if
/// one of them is there already.
///
/// # Errors
/// When the name breaks a rule or is in use, or a file can't be written.
pub(crate) fn service(
    root: &Path,
    name: &str,
    lang: Lang,
    source: &Source,
) -> Result<Vec<PathBuf>> {
    name::service(name)?;
    let table = render(lang.table(), name);
    let project = edit::with_service(&root.join(FILE), name, &table)?;
    let mut files = rendered(lang.files(), name);
    let cargo = root.join("Cargo.toml");
    let mut manifest = None;
    if lang == Lang::Rust {
        if cargo.is_file() {
            manifest = edit::with_member(&cargo, &format!("services/{name}"))?;
        } else {
            files.extend(rendered(templates::WORKSPACE, name));
        }
    }
    write_all(root, &files)?;
    if let Some(manifest) = manifest {
        write(&cargo, &manifest)?;
    }
    write(&root.join(FILE), &project)?;
    match lang {
        Lang::Rust => crates::lock(root, source)?,
        Lang::Python | Lang::Go => crates::imports(root, source)?,
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Writes the files of a template below `root`.
///
/// # Errors
/// When one of them is there already, or can't be written.
pub(crate) fn template(root: &Path, files: &[File], name: &str) -> Result<()> {
    write_all(root, &rendered(files, name))
}

fn rendered(files: &[File], name: &str) -> Vec<(PathBuf, String)> {
    let render = |(path, text): &File| (PathBuf::from(render(path, name)), render(text, name));
    files.iter().map(render).collect()
}

fn write_all(root: &Path, files: &[(PathBuf, String)]) -> Result<()> {
    if let Some((path, _)) = files.iter().find(|(path, _)| root.join(path).exists()) {
        bail!(
            "{} is there already: nothing is written",
            root.join(path).display()
        );
    }
    for (path, text) in files {
        write(&root.join(path), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, Source) {
        let project = tempfile::tempdir().unwrap();
        template(project.path(), templates::PROJECT, "shop").unwrap();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        (project, Source::Dir(checkout))
    }

    fn read(root: &Path, file: &str) -> toml::Table {
        fs::read_to_string(root.join(file))
            .unwrap()
            .parse()
            .unwrap()
    }

    #[test]
    fn services_of_all_languages_live_in_one_project() {
        let (project, source) = project();
        let root = project.path();
        for (name, lang) in [
            ("line_item", Lang::Rust),
            ("quotes", Lang::Python),
            ("rates", Lang::Go),
            ("stock", Lang::Rust),
        ] {
            for path in service(root, name, lang, &source).unwrap() {
                assert!(root.join(&path).is_file(), "{}", path.display());
            }
        }
        let services = &read(root, FILE)["services"];
        assert_eq!(services.as_table().unwrap().len(), 4);
        let members = &read(root, "Cargo.toml")["workspace"]["members"];
        let expected = ["services/line_item", "services/stock"].map(toml::Value::from);
        assert_eq!(members.as_array().unwrap(), &expected);
        assert!(
            root.join("third_party/buf/validate/validate.proto")
                .is_file()
        );
        let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
        assert!(lock.contains("name = \"protomesh\""));
    }

    #[test]
    fn nothing_is_written_if_a_file_is_there() {
        let (project, source) = project();
        let root = project.path();
        let before = fs::read_to_string(root.join(FILE)).unwrap();
        let file = root.join("services/stock/src/main.rs");
        write(&file, "mine").unwrap();
        let error = service(root, "stock", Lang::Rust, &source)
            .unwrap_err()
            .to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.join(FILE)).unwrap(), before);
        assert!(!root.join("proto").exists() && !root.join("Cargo.toml").exists());
    }
}
