//! The server and the suite of gapic-showcase, from one Go module.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use mesh::home::Home;
use mesh::ui::Ui;

use crate::tools::golang::Module;

const PROGRAM: &str = "gapic-showcase";
const SUITE: &str = "suite.json";

const MODULE: Module = Module {
    name: "gapic-showcase",
    path: "github.com/googleapis/gapic-showcase",
    commands: "cmd/",
    programs: &[PROGRAM],
    files: &[("server/services/compliance_suite.json", SUITE)],
};

#[derive(Debug)]
pub(super) struct Server {
    pub(super) program: PathBuf,
    /// The suite's requests, as JSON.
    pub(super) suite: String,
    pub(super) version: String,
}

impl Server {
    /// Builds the module unless that is done.
    ///
    /// # Errors
    /// As [`Module::ensure`].
    pub(super) fn ensure(home: &Home, ui: Ui) -> Result<Self> {
        let built = MODULE.ensure(home, ui)?;
        let suite = built.dir.join(SUITE);
        Ok(Self {
            program: built.dir.join(PROGRAM),
            suite: fs::read_to_string(&suite)
                .with_context(|| format!("cannot read {}", suite.display()))?,
            version: built.version,
        })
    }
}
