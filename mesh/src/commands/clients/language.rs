//! The generators of each language, from its own package manager.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::engines::Lock;
use crate::home::{self, Home, create_dir};
use crate::os::said;
use crate::ui::Ui;

const GRPCIO_TOOLS: &str = "grpcio-tools";
const GEN_ES: &str = "@bufbuild/protoc-gen-es";
const GEN_GO: &str = "google.golang.org/protobuf/cmd/protoc-gen-go";
const GEN_GO_GRPC: &str = "google.golang.org/grpc/cmd/protoc-gen-go-grpc";
const COPY: &str = "maven-dependency-plugin";
const PROTOC: &str = "com.google.protobuf:protoc";
const GEN_GRPC_JAVA: &str = "io.grpc:protoc-gen-grpc-java";

/// The generators of Python are parts of a protoc, which this makes a plugin.
const PYTHON_PLUGIN: &str = include_str!("protoc-gen-python.py");

/// A language of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Python,
    Typescript,
    Go,
    Java,
}

/// The installed generators of a language.
#[derive(Debug)]
pub(super) struct Generators {
    language: Language,
    dir: PathBuf,
}

// === impl Language ===

impl Language {
    pub(super) const ALL: [Self; 4] = [Self::Python, Self::Typescript, Self::Go, Self::Java];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Typescript => "typescript",
            Self::Go => "go",
            Self::Java => "java",
        }
    }

    /// Returns the programs that buf runs.
    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["protoc-gen-python"],
            Self::Typescript => &["protoc-gen-es"],
            Self::Go => &["protoc-gen-go", "protoc-gen-go-grpc"],
            Self::Java => &["protoc", "protoc-gen-grpc-java"],
        }
    }

    /// Returns the names of its packages in the lock file.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Python => &[GRPCIO_TOOLS],
            Self::Typescript => &[GEN_ES],
            Self::Go => &[GEN_GO, GEN_GO_GRPC],
            Self::Java => &[PROTOC, GEN_GRPC_JAVA],
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::Python => "Python with pip",
            Self::Typescript => "Node.js with npm",
            Self::Go => "Go",
            Self::Java => "Maven with a JDK",
        }
    }

    /// Fills a directory with the programs.
    fn fill(self, dir: &Path, lock: &Lock) -> Result<()> {
        for &package in self.packages() {
            let version = &lock.pin(package)?.version;
            match self {
                Self::Python => pip(package, version, dir)?,
                Self::Typescript => npm(package, version, dir)?,
                Self::Go => go(package, version, dir)?,
                Self::Java => maven(package, version, &lock.pin(COPY)?.version, dir)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Generators ===

impl Generators {
    /// Installs the generators of a language, unless they are there.
    pub(super) fn ensure(language: Language, home: &Home, lock: &Lock, ui: Ui) -> Result<Self> {
        let engines = home.engines();
        create_dir(&engines, 0o755)?;
        let _guard = home::lock(&engines.join("lock"))?;
        let pins: Result<Vec<_>, _> = language
            .packages()
            .iter()
            .map(|package| lock.pin(package))
            .collect();
        let versions: Vec<&str> = pins?.iter().map(|pin| &*pin.version).collect();
        let dir = engines.join(format!("clients-{language}-{}", versions.join("-")));
        if !dir.is_dir() {
            let step = ui.step(format!("fetching the generators of {language}"));
            let work = tempfile::Builder::new()
                .prefix("fetch-")
                .tempdir_in(&engines)?;
            let content = work.path().join("content");
            create_dir(&content, 0o755)?;
            let needs = language.requirements();
            language.fill(&content, lock).with_context(|| {
                format!("cannot install the generators of {language}, which need {needs}")
            })?;
            fs::rename(&content, &dir)?;
            step.done();
        }
        Ok(Self { language, dir })
    }

    /// Returns the path of a program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the plugins of a template of buf, which write to the root of the output. Those that
    /// start slowly get all files at once.
    pub(super) fn plugins(&self) -> Value {
        let program = |name| self.program(name).display().to_string();
        match self.language {
            Language::Python => json!([
                {"local": program("protoc-gen-python"), "out": ".", "strategy": "all"},
            ]),
            // Their package has no code for imports.
            Language::Typescript => json!([{
                "local": program("protoc-gen-es"), "out": ".", "strategy": "all",
                "include_imports": true, "opt": ["target=ts", "import_extension=js"],
            }]),
            Language::Go => json!([
                {"local": program("protoc-gen-go"), "out": ".", "opt": "paths=source_relative"},
                {"local": program("protoc-gen-go-grpc"), "out": ".", "opt": "paths=source_relative"},
            ]),
            Language::Java => json!([
                {"protoc_builtin": "java", "protoc_path": program("protoc"), "out": "."},
                {"local": program("protoc-gen-grpc-java"), "out": "."},
            ]),
        }
    }
}

/// Returns the import path of a directory in the Go module around it; without a module, one that
/// begins with the name of the project.
pub(super) fn go_prefix(out: &Path, project: &str) -> String {
    let out = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    for dir in out.ancestors() {
        let text = fs::read_to_string(dir.join("go.mod")).unwrap_or_default();
        let mut lines = text.lines();
        if let Some(module) = lines.find_map(|line| line.strip_prefix("module ")) {
            let below = out.strip_prefix(dir).unwrap_or(&out).to_string_lossy();
            return format!("{}/{below}", module.trim())
                .trim_end_matches('/')
                .to_owned();
        }
    }
    format!("{project}/gen/go")
}

fn pip(package: &str, version: &str, dir: &Path) -> Result<()> {
    let mut pip = command("python3", dir);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"]);
    pip.args(["--disable-pip-version-check", "--target", "packages"]);
    said(pip.arg(format!("{package}=={version}")))?;
    let plugin = dir.join("protoc-gen-python");
    fs::write(&plugin, PYTHON_PLUGIN)?;
    Ok(fs::set_permissions(plugin, Permissions::from_mode(0o755))?)
}

fn npm(package: &str, version: &str, dir: &Path) -> Result<()> {
    let mut npm = command("npm", dir);
    npm.args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        ".",
    ]);
    said(npm.arg(format!("{package}@{version}")))?;
    symlink("node_modules/.bin/protoc-gen-es", dir.join("protoc-gen-es"))?;
    Ok(())
}

fn go(package: &str, version: &str, dir: &Path) -> Result<()> {
    let mut go = command("go", dir);
    go.env("GOBIN", dir).arg("install");
    said(go.arg(format!("{package}@v{version}")))?;
    Ok(())
}

/// Copies an artifact that is a program of this platform.
fn maven(package: &str, version: &str, plugin: &str, dir: &Path) -> Result<()> {
    let platform = platform();
    let mut maven = command("mvn", dir);
    maven.args(["--quiet", "--batch-mode"]);
    maven.arg(format!("org.apache.maven.plugins:{COPY}:{plugin}:copy"));
    maven.arg(format!("-Dartifact={package}:{version}:exe:{platform}"));
    said(maven.args(["-DoutputDirectory=.", "-Dmdep.stripVersion=true"]))?;
    let name = package.rsplit(':').next().unwrap_or(package);
    let program = dir.join(name);
    fs::rename(dir.join(format!("{name}-{platform}.exe")), &program)?;
    Ok(fs::set_permissions(program, Permissions::from_mode(0o755))?)
}

/// Returns the platform as Maven's programs name it.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "osx",
        other => other,
    };
    match std::env::consts::ARCH {
        "aarch64" => format!("{system}-aarch_64"),
        other => format!("{system}-{other}"),
    }
}

fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_belongs_to_the_go_module_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("client/gen");
        assert_eq!(go_prefix(&out, "shop"), "shop/gen/go");
        fs::create_dir(dir.path().join("client")).unwrap();
        let module = "module example.com/client\n\ngo 1.24\n";
        fs::write(dir.path().join("client/go.mod"), module).unwrap();
        assert_eq!(go_prefix(&out, "shop"), "example.com/client/gen");
    }

    #[test]
    fn every_package_is_pinned() {
        let lock = Lock::parse(super::super::LOCK_FILE, super::super::LOCK).unwrap();
        let packages = Language::ALL
            .iter()
            .flat_map(|language| language.packages());
        for package in packages.chain([&COPY, &super::super::BUF]) {
            assert!(!lock.pin(package).unwrap().version.is_empty(), "{package}");
        }
        assert_eq!(lock.pin(super::super::BUF).unwrap().sha256.len(), 4);
    }
}
