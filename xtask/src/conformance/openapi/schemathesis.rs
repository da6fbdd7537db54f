//! Schemathesis: requests that the document of a running gateway allows, and requests that it does
//! not, in each dialect.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::home::{Home, StateDir};
use mesh::project::GATEWAY;
use mesh::stack::ports::{Ports, Wanted};
use mesh::ui::Ui;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::library::Library;
use crate::tools::packages::Packages;
use crate::tools::process::{spawn, until_ready};

pub(super) const NAME: &str = "schemathesis";
pub(super) const REQUIREMENTS: &str = include_str!("schemathesis.txt");
const CONFIG: &str = include_str!("schemathesis.toml");
const PROGRAM: &str = "import sys; sys.path.insert(0, sys.argv.pop(1)); \
                       from schemathesis.cli import schemathesis; schemathesis()";

/// The dialects, each with further settings.
const DIALECTS: [(&str, &str); 3] = [
    ("strict", ""),
    ("grpc-gateway", include_str!("grpc-gateway.toml")),
    ("envoy", include_str!("envoy.toml")),
];

/// Least number of cases of one run: fewer mean that operations are missing.
const CASES: usize = 1_000;

/// The outcome of one dialect.
#[derive(Debug, Serialize)]
pub(super) struct DialectRun {
    pub(super) dialect: &'static str,
    pub(super) cases: usize,
    /// The report of the failures; empty if there are none.
    pub(super) failures: String,
}

/// Sends the cases to a gateway in each dialect.
///
/// # Errors
/// When a process cannot run.
pub(super) async fn run(home: &Home, ui: Ui) -> Result<Vec<DialectRun>> {
    let packages = Packages::ensure(home, ui, NAME, REQUIREMENTS)?;
    ui.note("building the gateway");
    cargo::build(home, &[cargo::GATEWAY_PROGRAM])?;
    let library = Library::start().await?;
    let mut runs = Vec::new();
    for (dialect, settings) in DIALECTS {
        let step = ui.step(format!("sending requests in the dialect {dialect}"));
        let gateway = Gateway::start(home, &library, dialect).await?;
        runs.push(gateway.run(&packages, dialect, settings).await?);
        step.done();
    }
    Ok(runs)
}

impl DialectRun {
    /// Returns the problem of the run, if there is one.
    pub(super) fn problem(&self) -> Option<String> {
        let (dialect, cases) = (self.dialect, self.cases);
        if !self.failures.is_empty() {
            Some(format!("{dialect}: document and gateway differ"))
        } else if cases < CASES {
            Some(format!(
                "{dialect}: {cases} cases, which is less than {CASES}"
            ))
        } else {
            None
        }
    }

    /// Reads the report of Schemathesis.
    fn of(dialect: &'static str, passed: bool, report: &str) -> Self {
        let generated = report.lines().find_map(|line| {
            let (count, _) = line.trim().split_once(" generated")?;
            count.parse().ok()
        });
        let failures = report
            .find("= FAILURES =")
            .or_else(|| report.find("= ERRORS ="));
        Self {
            dialect,
            cases: generated.unwrap_or_default(),
            failures: match passed {
                true => String::new(),
                false => report
                    .get(failures.unwrap_or_default()..)
                    .unwrap_or_default()
                    .to_owned(),
            },
        }
    }
}

/// A gateway before the library; dropping this kills it.
struct Gateway {
    process: Child,
    address: SocketAddr,
    dir: StateDir,
    _ports: Ports,
}

impl Gateway {
    async fn start(home: &Home, library: &Library, dialect: &str) -> Result<Self> {
        let dir = StateDir::scratch(home)?;
        let names = [GATEWAY].into_iter();
        let ports = Ports::reserve(&home.ports(), dir.path(), names, &Wanted::default())?;
        let port = ports.by_name.get(GATEWAY).copied().context("no port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let descriptors = dir.path().join("library.binpb");
        std::fs::write(&descriptors, descriptor_set(home.root())?)?;
        let mut command = Command::new(cargo::binaries(home)?.dir.join(cargo::GATEWAY_PROGRAM));
        command
            .env("PROTOMESH_LISTEN", address.to_string())
            .env("PROTOMESH_UPSTREAMS", format!("http://{}", library.address))
            .env("PROTOMESH_DIALECT", dialect)
            .env("PROTOMESH_SCHEMA__DESCRIPTORS", descriptors)
            .env("PROTOMESH_SCHEMA__REFLECTION", "false");
        let mut gateway = Self {
            process: spawn(command, &dir.path().join(format!("{GATEWAY}.log")))?,
            address,
            dir,
            _ports: ports,
        };
        let running = &mut [(GATEWAY, &mut gateway.process)];
        until_ready(address, running, gateway.dir.path()).await?;
        Ok(gateway)
    }

    async fn run(
        &self,
        packages: &Packages,
        dialect: &'static str,
        settings: &str,
    ) -> Result<DialectRun> {
        let config = self.dir.path().join("schemathesis.toml");
        std::fs::write(&config, format!("{CONFIG}\n{settings}"))?;
        let mut command = Command::from(packages.run(PROGRAM));
        command
            .current_dir(self.dir.path())
            .arg("--config-file")
            .arg(config)
            .args(["run", &format!("http://{}/openapi.json", self.address)])
            .kill_on_drop(true);
        let output = command.output().await.context("cannot run Schemathesis")?;
        let report = String::from_utf8_lossy(&output.stdout);
        let passed = output.status.success();
        if report.is_empty() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(DialectRun::of(dialect, passed, &report))
    }
}

fn descriptor_set(checkout: &Path) -> Result<Vec<u8>> {
    let includes = ["shared/samples/proto", "shared/compiler/third_party"];
    let mut compiler = protox::Compiler::new(includes.map(|path| checkout.join(path)))?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("openapi.proto")?;
    Ok(compiler.encode_file_descriptor_set())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::packages::assert_pinned;

    #[test]
    fn every_package_is_pinned_with_hashes() {
        assert_pinned(NAME, REQUIREMENTS);
    }

    #[test]
    fn a_report_has_its_failures_and_the_number_of_cases() {
        let report = "x\n=== FAILURES ===\n1. Case\nTest cases:\n  3265 generated, 1 found\n";
        let run = DialectRun::of("strict", false, report);
        assert_eq!(run.cases, 3265);
        assert!(run.failures.starts_with("= FAILURES ==="));
        assert!(run.problem().is_some());
        assert_eq!(DialectRun::of("strict", true, report).problem(), None);
        assert!(
            DialectRun::of("strict", true, "  9 generated")
                .problem()
                .is_some()
        );
    }
}
