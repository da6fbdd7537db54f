//! The server and the suite of gapic-showcase: a Go module, checked against the lock file and built once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::engines::fetch::Lock;
use crate::home::{Home, create_dir, lock};
use crate::os::said;
use crate::ui::Ui;

const NAME: &str = "gapic-showcase";
const MODULE: &str = "github.com/googleapis/gapic-showcase";
/// The suite, in the module and beside the program.
const SUITE: &str = "server/services/compliance_suite.json";

#[derive(Debug)]
pub(super) struct Server {
    pub(super) program: PathBuf,
    /// The suite's requests, as JSON.
    pub(super) suite: String,
    pub(super) version: String,
}

/// What `go mod download -json` says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Module {
    dir: PathBuf,
    sum: String,
    error: String,
}

impl Server {
    /// Builds what isn't there yet.
    ///
    /// # Errors
    /// Without Go, without the module, or when the module is not what the lock file says.
    pub(super) fn ensure(home: &Home, ui: Ui) -> Result<Self> {
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = lock(&dir.join("lock"))?;
        let locked = Lock::read()?;
        let pin = locked.pin(NAME)?;
        let built = dir.join(format!("{NAME}-{}", pin.version));
        if !built.is_dir() {
            let step = ui.step(format!("fetching and building {NAME} {}", pin.version));
            let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&dir)?;
            let module = download(&pin.version, work.path())?;
            let pinned = pin.go_sum.as_deref().unwrap_or_default();
            if module.sum != pinned {
                bail!(
                    "{NAME} {} has the sum {}, but engines.lock.toml pins {pinned}: not built",
                    pin.version,
                    module.sum
                );
            }
            let content = work.path().join("content");
            create_dir(&content, 0o755)?;
            build(&module.dir, &content.join(NAME))?;
            fs::copy(module.dir.join(SUITE), content.join("suite.json"))
                .context("the module has no compliance suite")?;
            fs::rename(&content, &built)?;
            step.done();
        }
        let suite = built.join("suite.json");
        Ok(Self {
            program: built.join(NAME),
            suite: fs::read_to_string(&suite)
                .with_context(|| format!("cannot read {}", suite.display()))?,
            version: pin.version.clone(),
        })
    }
}

fn download(version: &str, work: &Path) -> Result<Module> {
    let mut go = Command::new("go");
    // Outside of any module, so that nothing of the checkout has a say.
    go.current_dir(work);
    go.args(["mod", "download", "-json", &format!("{MODULE}@v{version}")]);
    let output = go
        .output()
        .context("cannot run go, which builds gapic-showcase")?;
    let module: Module = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if !output.status.success() || !module.error.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "go cannot fetch {MODULE}@v{version}: {}{}",
            module.error,
            stderr.trim()
        );
    }
    Ok(module)
}

/// The module's own `go.sum` pins what it depends on.
fn build(module: &Path, program: &Path) -> Result<()> {
    let mut go = Command::new("go");
    go.current_dir(module);
    go.args([
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-o",
    ]);
    go.arg(program).arg("./cmd/gapic-showcase");
    said(&mut go).context("go cannot build gapic-showcase")?;
    Ok(())
}
