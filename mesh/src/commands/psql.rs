//! `mesh psql`: a session in the database of a service.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use super::desk::running;
use crate::engines::Engines;
use crate::home::{Home, SECRETS};
use crate::project::{Engine, POSTGRES};
use crate::ui::Ui;

/// The arguments of `psql`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Service whose database is opened, with the service's role
    service: String,
    /// Arguments of psql, such as `-c 'SELECT 1'`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(super) fn psql(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let service = &args.service;
    let users: Vec<&str> = home.project().users_of(Engine::Postgres).collect();
    if !users.contains(&service.as_str()) {
        bail!(
            "no service {service} with a database; expected one of {}",
            users.join(", ")
        );
    }
    let snapshot = running(&home)?;
    let postgres = snapshot.processes.get(POSTGRES);
    let address = postgres
        .context("the mesh that is up has no Postgres")?
        .address;
    let own = Engines::ensure(&home, &BTreeSet::new(), Ui::detect())?.postgres_program("psql");
    // Debian's package of the server has psql elsewhere.
    let program = match own.is_file() {
        true => own,
        false => "psql".into(),
    };
    let failed = Command::new(&program)
        .env("PGPASSFILE", home.mesh().join(SECRETS))
        .arg(format!("postgres://{service}@{address}/{service}"))
        .args(&args.arguments)
        .exec();
    Err(failed).with_context(|| format!("cannot run {}", program.display()))
}
