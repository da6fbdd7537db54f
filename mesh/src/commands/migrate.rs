//! `mesh migrate`: the schemas of the services' databases, by the programs of the services.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::build;
use super::desk::running;
use crate::StackOptions;
use crate::home::Home;
use crate::project::{Engine, GATEWAY, POSTGRES, Service};
use crate::snapshot::Snapshot;
use crate::stack::clients::Clients;
use crate::stack::postgres;
use crate::stack::secrets::Secrets;
use crate::ui::{self, Ui};

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Use the programs that are there, without a build
    #[arg(long, global = true)]
    no_build: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Prints the migrations, and which of them are applied
    Status {
        /// Only this service
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Applies migrations
    Up {
        /// Only this service
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        #[command(flatten)]
        end: Target,
    },
    /// Rolls migrations back; without --to, the last one
    Down {
        /// The service
        #[arg(long, value_name = "NAME")]
        service: String,
        #[command(flatten)]
        end: Target,
    },
}

/// Where a migration ends.
#[derive(Debug, clap::Args)]
struct Target {
    /// Last migration that is applied afterwards
    #[arg(long, value_name = "VERSION", requires = "service")]
    to: Option<u64>,
    /// Library whose schema is meant, as `status` lists it, instead of the service's own
    #[arg(long, value_name = "NAME", requires = "service")]
    library: Option<String>,
}

/// The programs that change schemas, and where these are.
struct Programs<'a> {
    home: &'a Home,
    options: &'a StackOptions,
    snapshot: &'a Snapshot,
    secrets: Secrets,
}

pub(super) fn migrate(args: &Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    let chosen = match &args.verb {
        Verb::Status { service, .. } | Verb::Up { service, .. } => service.as_deref(),
        Verb::Down { service, .. } => Some(service.as_str()),
    };
    let snapshot = running(&home)?;
    let services = services(&home, &snapshot, chosen)?;
    let names = services.iter().map(|service| service.name.as_str());
    let options = StackOptions::new(&home)?.only(names)?;
    if !args.no_build {
        build::build(&home, &options, ui)?;
    }
    let programs = Programs {
        home: &home,
        options: &options,
        snapshot: &snapshot,
        secrets: Secrets::load(&home.mesh()).context("no passwords of databases: run `mesh up`")?,
    };
    let mut printed = Vec::new();
    for service in services {
        printed.push(programs.run(service, &args.verb)?);
    }
    if let Verb::Status { json, .. } = args.verb {
        ui::print(match json {
            true => array(&printed)?,
            false => printed.concat().trim_end().to_owned(),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the services whose programs have migrations; the issuer of tokens if it runs.
fn services<'a>(
    home: &'a Home,
    snapshot: &Snapshot,
    chosen: Option<&str>,
) -> Result<Vec<&'a Service>> {
    let all = home.project().services().iter();
    let issuer = home
        .project()
        .issuer()
        .map(|issuer| issuer.service.as_str());
    let is_used = |name: &str| Some(name) != issuer || snapshot.processes.contains_key(name);
    let all: Vec<&Service> = all
        .filter(|service| service.needs.contains(&Engine::Postgres) && service.package().is_some())
        .filter(|service| is_used(&service.name))
        .collect();
    let Some(name) = chosen else {
        return Ok(all);
    };
    let found = all.iter().find(|service| service.name == name);
    let known = || all.iter().map(|service| service.name.as_str());
    match found {
        Some(service) => Ok(vec![service]),
        None => bail!(
            "--service {name}: expected one of {}: the services of Cargo packages with a database",
            known().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Joins the status of services, an object each.
fn array(printed: &[String]) -> Result<String> {
    let all = printed.iter().map(|text| serde_json::from_str(text));
    let all: Vec<Value> = all.collect::<Result<_, _>>()?;
    Ok(serde_json::to_string_pretty(&all)?)
}

// === impl Programs ===

impl Programs<'_> {
    /// Returns the variables without which the issuer of tokens does not start.
    fn issuer(&self, service: &Service) -> Result<Vec<(String, String)>> {
        let issuer = self.home.project().issuer();
        let Some(issuer) = issuer.filter(|issuer| issuer.service == service.name) else {
            return Ok(Vec::new());
        };
        let gateway = self.snapshot.processes.get(GATEWAY);
        let gateway = gateway.context("the mesh that is up has no gateway")?;
        let url = format!("http://{}", gateway.address);
        Ok(Clients::of(&self.home.mesh()).environment(issuer, &url, Some(service)))
    }

    /// Runs the program of a service; returns what it has printed.
    fn run(&self, service: &Service, verb: &Verb) -> Result<String> {
        let name = service.name.as_str();
        let postgres = self.snapshot.processes.get(POSTGRES);
        let address = postgres
            .context("the mesh that is up has no Postgres")?
            .address;
        let programs = self.options.built_programs();
        let program: Option<PathBuf> = programs
            .filter(|(process, _)| *process == name)
            .map(|(_, program)| program)
            .next();
        let program = program.with_context(|| format!("{name} has no program"))?;
        let output = Command::new(&program)
            .arg("migrate")
            .args(arguments(verb))
            .envs(self.issuer(service)?)
            .envs(&service.env)
            .env(
                "PROTOMESH_DATABASE_URL",
                postgres::url(address, &self.secrets, name)?,
            )
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        ensure!(
            output.status.success(),
            "{name}: the migration failed ({})",
            output.status
        );
        String::from_utf8(output.stdout).with_context(|| format!("{name}: its output is not UTF-8"))
    }
}

/// Returns the arguments of the programs, whose verb is the same.
fn arguments(verb: &Verb) -> Vec<String> {
    let (name, end) = match verb {
        Verb::Status { json, .. } => {
            let json = json.then(|| "--json".to_owned());
            return std::iter::once("status".to_owned()).chain(json).collect();
        }
        Verb::Up { end, .. } => ("up", end),
        Verb::Down { end, .. } => ("down", end),
    };
    let to = end
        .to
        .map(|version| ["--to".to_owned(), version.to_string()]);
    let library = end
        .library
        .clone()
        .map(|name| ["--library".to_owned(), name]);
    let ends = to.into_iter().chain(library).flatten();
    std::iter::once(name.to_owned()).chain(ends).collect()
}
