//! Go modules: checked against the lock file, built once, and kept with files of the module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use mesh::home::{Home, create_dir, lock};
use mesh::os::said;
use mesh::ui::Ui;
use serde::Deserialize;

use super::lock as lock_file;

/// A module, and the programs and files needed of it.
#[derive(Debug)]
pub(crate) struct Module {
    /// Name in the lock file.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// The directory below which programs are: `cmd/`, or empty.
    pub(crate) commands: &'static str,
    /// Programs, built from directories of their names below `commands`.
    pub(crate) programs: &'static [&'static str],
    /// Files: path in the module, and path in the result.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// A built module.
#[derive(Debug)]
pub(crate) struct BuiltModule {
    /// Directory of the programs and files.
    pub(crate) dir: PathBuf,
    pub(crate) version: String,
}

/// Output of `go mod download -json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Download {
    dir: PathBuf,
    sum: String,
    error: String,
}

impl Module {
    /// Builds the module unless that is done.
    ///
    /// # Errors
    /// Without Go or the module, or when the module does not match the lock file.
    pub(crate) fn ensure(&self, home: &Home, ui: Ui) -> Result<BuiltModule> {
        let name = self.name;
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = lock(&dir.join("lock"))?;
        let locked = lock_file()?;
        let pin = locked.pin(name)?;
        let built = dir.join(format!("{name}-{}", pin.version));
        if !built.is_dir() {
            let step = ui.step(format!("fetching and building {name} {}", pin.version));
            let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&dir)?;
            let module = self.download(&pin.version, work.path())?;
            let pinned = pin.go_sum.as_deref().unwrap_or_default();
            if module.sum != pinned {
                bail!(
                    "{name} {} has the sum {}, but {} pins {pinned}: not built",
                    pin.version,
                    module.sum,
                    locked.file()
                );
            }
            let content = work.path().join("content");
            create_dir(&content, 0o755)?;
            self.fill(&module.dir, &content)?;
            fs::rename(&content, &built)?;
            step.done();
        }
        Ok(BuiltModule {
            dir: built,
            version: pin.version.clone(),
        })
    }

    fn download(&self, version: &str, work: &Path) -> Result<Download> {
        let path = self.path;
        let mut go = Command::new("go");
        // Outside of the checkout, whose files could change the result.
        go.current_dir(work);
        go.args(["mod", "download", "-json", &format!("{path}@v{version}")]);
        let output = go
            .output()
            .with_context(|| format!("cannot run go, which builds {}", self.name))?;
        let module: Download = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !output.status.success() || !module.error.is_empty() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!(
                "go cannot fetch {path}@v{version}: {}{}",
                module.error,
                stderr.trim()
            );
        }
        Ok(module)
    }

    fn fill(&self, module: &Path, content: &Path) -> Result<()> {
        for program in self.programs {
            build(module, self.commands, program, &content.join(program))?;
        }
        for (from, to) in self.files {
            let to = content.join(to);
            create_dir(to.parent().unwrap_or(content), 0o755)?;
            fs::copy(module.join(from), to)
                .with_context(|| format!("the module of {} has no {from}", self.name))?;
        }
        Ok(())
    }
}

/// Builds a program. The module's `go.sum` pins its dependencies.
fn build(module: &Path, commands: &str, program: &str, to: &Path) -> Result<()> {
    let mut go = Command::new("go");
    go.current_dir(module);
    go.args([
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-o",
    ]);
    go.arg(to).arg(format!("./{commands}{program}"));
    said(&mut go).with_context(|| format!("go cannot build {program}"))?;
    Ok(())
}
