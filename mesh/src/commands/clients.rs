//! `mesh clients`: clients of the project's contracts in other languages.

mod contract;
mod language;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tempfile::TempDir;

use crate::engines::{self, Lock};
use crate::home::{Home, create_dir};
use crate::os::said;
use crate::ui::Ui;
use contract::Contract;
use language::{Generators, Language};

const LOCK_FILE: &str = "clients.lock.toml";
const LOCK: &str = include_str!("../../clients.lock.toml");
/// Name of buf in the lock file.
const BUF: &str = "buf-bin";
/// The directory of contracts, unless another is named.
const CONTRACTS: &str = "proto";
/// The directory of the code, unless another is named.
const OUT: &str = "gen/{language}";
/// Stands for the language in the name of a directory.
const PLACEHOLDER: &str = "{language}";
/// File in a directory of generated code: what has it is replaced as a whole.
const MARK: &str = ".mesh-clients";

/// The arguments of `clients`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories of contracts, to which imports are relative [default: proto]
    #[arg(value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Also look imports up in this directory; may be repeated
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,
    /// Languages, separated by commas
    #[arg(long, value_name = "LANGUAGE", value_enum, value_delimiter = ',')]
    #[arg(default_values_t = Language::ALL)]
    lang: Vec<Language>,
    /// Directory of the code, which is replaced [default: gen/{language}]
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
    /// Import path of the Go code; without it, that of its directory in the Go module around it
    #[arg(long, value_name = "PATH")]
    go_prefix: Option<String>,
    /// Only put buf and its plugins into .mesh/bin, for `buf generate`
    #[arg(long)]
    install: bool,
}

/// Generates the clients, or installs what generates them.
pub(super) fn clients(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let ui = Ui::detect();
    let lock = Lock::parse(LOCK_FILE, LOCK)?;
    if args.install {
        let buf = buf(&home, &lock, ui)?;
        return install(args, &home, &lock, &buf, ui);
    }
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| home.root().join(OUT).display().to_string());
    if args.lang.len() > 1 && !out.contains(PLACEHOLDER) {
        bail!("--out needs {PLACEHOLDER} in its name for more than one language");
    }
    let paths = match args.paths.as_slice() {
        [] => vec![home.root().join(CONTRACTS)],
        paths => paths.to_vec(),
    };
    let contract = Contract::read(&paths, &args.include)?;
    let buf = buf(&home, &lock, ui)?;
    for &language in &args.lang {
        let generators = Generators::ensure(language, &home, &lock, ui)?;
        let out = PathBuf::from(out.replace(PLACEHOLDER, language.name()));
        let prefix = match &args.go_prefix {
            Some(prefix) => prefix.clone(),
            None => language::go_prefix(&out, home.project().name()),
        };
        let step = ui.step(format!("generating {}", out.display()));
        generate(&buf, &generators, &contract.image(&prefix), &out)?;
        step.done();
    }
    Ok(ExitCode::SUCCESS)
}

/// Fetches buf unless it is there; returns the program.
fn buf(home: &Home, lock: &Lock, ui: Ui) -> Result<PathBuf> {
    let programs = format!("buf_bin-{}.data/scripts", lock.pin(BUF)?.version);
    let unpacked = engines::wheel(home, ui, lock, BUF, &programs)?;
    Ok(unpacked.join(programs).join("buf"))
}

/// Links buf and the plugins into `.mesh/bin`.
fn install(args: &Args, home: &Home, lock: &Lock, buf: &Path, ui: Ui) -> Result<ExitCode> {
    let bin = home.mesh().join("bin");
    create_dir(&bin, 0o755)?;
    link(buf, &bin.join("buf"))?;
    for &language in &args.lang {
        let generators = Generators::ensure(language, home, lock, ui)?;
        for program in language.programs() {
            link(&generators.program(program), &bin.join(program))?;
        }
    }
    ui.note(format!("buf and its plugins are in {}", bin.display()));
    Ok(ExitCode::SUCCESS)
}

fn link(program: &Path, name: &Path) -> Result<()> {
    let program = program
        .canonicalize()
        .with_context(|| format!("there is no {}", program.display()))?;
    if name.is_symlink() {
        fs::remove_file(name)?;
    }
    symlink(program, name).with_context(|| format!("cannot create {}", name.display()))
}

/// Generates the code of one language beside `out`, then replaces `out`.
fn generate(buf: &Path, generators: &Generators, image: &[u8], out: &Path) -> Result<()> {
    let is_replaceable = !out.exists() || out.join(MARK).is_file() || is_empty(out)?;
    if !is_replaceable {
        bail!(
            "{} has files that `mesh clients` did not write: name another directory by --out",
            out.display()
        );
    }
    let out = std::path::absolute(out)?;
    let parent = out.parent().context("--out is no directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let work = TempDir::with_prefix_in(".clients-", parent)?;
    let input = work.path().join("contract.binpb");
    fs::write(&input, image)?;
    let code = work.path().join("code");
    create_dir(&code, 0o755)?;
    fs::write(code.join(MARK), "")?;
    let template = json!({"version": "v2", "plugins": generators.plugins()});
    let mut command = Command::new(buf);
    command.current_dir(work.path());
    command.args([
        "generate",
        "contract.binpb",
        "--output",
        "code",
        "--template",
    ]);
    said(command.arg(template.to_string()))?;
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot replace {}", out.display()))?;
    }
    fs::rename(&code, &out).with_context(|| format!("cannot create {}", out.display()))
}

fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries =
        fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries.next().is_none())
}
