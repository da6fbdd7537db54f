//! `mesh expectations`: what consumers use of the contracts of services.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use expectations::{Contract, Expectations};
use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::call::list;
use super::desk::running;
use super::explain::resolve;
use crate::home::Home;
use crate::project::{GATEWAY, Project};
use crate::ui;

/// Directory of a project with a file for each consumer, `CONSUMER.toml`.
const DIRECTORY: &str = "expectations";

/// The arguments of `expectations`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the consumers, and the methods and events that each uses
    List,
    /// Compares the expectations with the services that run, by server reflection, which tells no
    /// events and no comments; exits with 1 if a consumer would feel a difference
    Verify {
        /// Address of the gateway of another mesh, as host:port
        #[arg(long, value_name = "ADDR")]
        gateway: Option<String>,
    },
}

/// The expectations of one file.
#[derive(Debug)]
pub(super) struct Recorded {
    /// Relative to the project.
    pub(super) file: String,
    pub(super) expectations: Expectations,
}

pub(super) async fn expectations(args: Args) -> Result<ExitCode> {
    let recorded = read()?;
    if recorded.is_empty() {
        bail!(
            "the project has no files in {DIRECTORY}/: tests with `protomesh_testing::Recorder` write them"
        );
    }
    match args.verb {
        Verb::List => {
            ui::print(listed(&recorded).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Verify { gateway } => {
            let contract = live(gateway.as_deref()).await?;
            let mut lines = Vec::new();
            for one in &recorded {
                let mut served = one.expectations.clone();
                served.events.retain(|name, _| contract.has_message(name));
                let felt = served.verify(&contract).into_iter();
                lines.extend(
                    felt.map(|felt| {
                        format!("{}: error: {}: {}", one.file, felt.element, felt.reason)
                    }),
                );
            }
            let count = lines.len();
            lines.push(format!("{} consumers: {count} differences", recorded.len()));
            ui::print(lines.join("\n"));
            Ok(ExitCode::from(u8::from(count > 0)))
        }
    }
}

/// Reads the files of the project here, in the order of their names; none outside of a project.
pub(super) fn read() -> Result<Vec<Recorded>> {
    let Ok(project) = Project::here() else {
        return Ok(Vec::new());
    };
    let dir = project.root().join(DIRECTORY);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&dir)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<Result<_>>()?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    files
        .iter()
        .map(|file| parsed(project.root(), file))
        .collect()
}

fn parsed(root: &Path, file: &Path) -> Result<Recorded> {
    let shown = file
        .strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let expectations = Expectations::parse(&text).with_context(|| shown.clone())?;
    Ok(Recorded {
        file: shown,
        expectations,
    })
}

fn listed(recorded: &[Recorded]) -> String {
    let lines = recorded.iter().flat_map(|one| {
        let uses = &one.expectations;
        let methods = uses.methods.iter().map(|(name, uses)| {
            let (sent, read) = (uses.sends.len(), uses.reads.len());
            format!("{name}  sends {sent} fields, reads {read}")
        });
        let events = uses
            .events
            .iter()
            .map(|(name, uses)| format!("{name}  reads {} fields of the event", uses.reads.len()));
        let consumer = &uses.consumer;
        let all = methods
            .chain(events)
            .map(move |line| format!("{consumer:<12} {line}\n"));
        all.collect::<Vec<_>>()
    });
    lines.collect()
}

/// Returns the contract of the services behind a gateway, which has no comments.
async fn live(gateway: Option<&str>) -> Result<Contract> {
    let address = match gateway {
        Some(gateway) => resolve(gateway).await?,
        None => {
            let gateway = running(&Home::find()?)?.processes.remove(GATEWAY);
            gateway
                .context("the mesh that is up has no gateway")?
                .address
        }
    };
    let set = FileDescriptorSet {
        file: list::files(address).await?,
    };
    Ok(Contract::load(&set.encode_to_vec())?)
}
