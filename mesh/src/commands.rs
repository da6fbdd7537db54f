//! The verbs of the `mesh` command.

mod addresses;
mod audit;
mod build;
mod call;
mod check;
mod clients;
mod compose;
mod control;
mod dashboard;
mod declared;
mod desk;
mod dev;
mod down;
pub mod events;
mod expectations;
mod explain;
mod follow;
mod image;
mod logs;
mod migrate;
mod psql;
mod restart;
mod sagas;
mod status;
mod test;
mod token;
pub mod up;
mod verify;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::project::Project;
use crate::ui;

/// A verb with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Starts the engines, the databases, every service and the gateway, and keeps them running
    Up(up::Args),
    /// The supervisor that `up --detach` starts
    #[command(hide = true)]
    Supervise(up::Selection),
    /// Drains and stops the mesh
    Down,
    /// Shows every process, its address and its health; exits with 1 unless all are healthy
    Status(status::Args),
    /// Builds, starts and watches: what changes is built again and restarted alone
    Dev(dev::Args),
    /// Shows what the processes have written
    Logs(logs::Args),
    /// Builds processes again and restarts them; the others go on
    Restart(restart::Args),
    /// Opens a session in the database of a service
    Psql(psql::Args),
    /// Shows, applies and rolls back the migrations of services
    Migrate(migrate::Args),
    /// Calls a method through the gateway with JSON, and prints its answer
    Call(call::Args),
    /// Prints an access token for callers of the mesh
    Token(token::Args),
    /// Runs the tests of all services
    Test(test::Args),
    /// Kills every process of a separate mesh under the project's load, then checks its effects
    Verify(verify::Args),
    /// Prints where the page is that shows the mesh
    Dashboard(dashboard::Args),
    /// Writes the files by which Docker Compose runs the mesh, and its secrets
    Compose(compose::Args),
    /// Builds the images of services and gateway with Docker
    Image(image::Args),
    /// Finds the mistakes of contracts, and what they break; exits with 1 if there are any
    Check(check::Args),
    /// Shows what consumers use of contracts, and compares it with the services that run
    Expectations(expectations::Args),
    /// Generates clients of the contracts in other languages
    Clients(clients::Args),
    /// Shows the route, bindings and policies of a request, and why the other routes do not match
    Explain(explain::Args),
    /// Shows the events that could not be applied or published, and decides about them
    Events(events::Args),
    /// Shows the sagas that are stuck, and decides about them
    Sagas(sagas::Args),
    /// Lists who has changed what and who was denied, and checks that the trail is intact
    Audit(audit::Args),
}

impl Verb {
    /// Returns whether it may run Cargo.
    pub fn builds(&self) -> bool {
        match self {
            Self::Up(_)
            | Self::Dev(_)
            | Self::Restart(_)
            | Self::Migrate(_)
            | Self::Test(_)
            | Self::Verify(_)
            | Self::Image(_) => true,
            Self::Supervise(_)
            | Self::Down
            | Self::Logs(_)
            | Self::Psql(_)
            | Self::Call(_)
            | Self::Token(_)
            | Self::Status(_)
            | Self::Dashboard(_)
            | Self::Compose(_)
            | Self::Check(_)
            | Self::Clients(_)
            | Self::Expectations(_)
            | Self::Explain(_)
            | Self::Events(_)
            | Self::Sagas(_)
            | Self::Audit(_) => false,
        }
    }

    /// Returns whether it makes what images are built from, or builds them.
    pub fn prepares_images(&self) -> bool {
        match self {
            Self::Image(_) => true,
            Self::Compose(args) => args.writes(),
            _ => false,
        }
    }

    /// Carries the verb out.
    ///
    /// # Errors
    /// Depend on the verb; the message is for people.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up(args) => up::up(args).await,
            Self::Supervise(selection) => up::supervise(selection).await,
            Self::Down => down::down(),
            Self::Dev(args) => dev::dev(args).await,
            Self::Logs(args) => logs::logs(args).await,
            Self::Restart(args) => restart::restart(args).await,
            Self::Psql(args) => psql::psql(&args),
            Self::Migrate(args) => migrate::migrate(&args),
            Self::Call(args) => call::call(args).await,
            Self::Token(args) => token::token(args).await,
            Self::Test(args) => test::test(&args),
            Self::Verify(args) => verify::verify(args).await,
            Self::Status(args) => status::status(args).await,
            Self::Dashboard(args) => dashboard::dashboard(&args),
            Self::Compose(args) => compose::compose(&args),
            Self::Image(args) => image::image(&args),
            Self::Check(args) => Ok(check::check(&args)),
            Self::Clients(args) => clients::clients(&args),
            Self::Expectations(args) => expectations::expectations(args).await,
            Self::Explain(args) => explain::explain(args).await,
            Self::Events(args) => events::events(args).await,
            Self::Sagas(args) => sagas::sagas(args).await,
            Self::Audit(args) => audit::audit(args).await,
        }
    }
}

/// Carries out the command line of this process by `run`. A command of the project takes precedence
/// over a verb of the same name; it runs after `prepare`, with the directory of the project.
pub fn main<C: Parser>(
    prepare: impl FnOnce(&Path) -> Result<()>,
    run: impl AsyncFnOnce(C) -> Result<ExitCode>,
) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut command = C::command();
    // Without a valid project, the verb says what is wrong, if it needs one.
    if let Ok(project) = Project::here() {
        let first = arguments.split_first();
        let named = first.and_then(|(name, others)| Some((name.to_str()?, others)));
        if let Some((name, others)) = named
            && project.commands().contains_key(name)
        {
            let ran = prepare(project.root()).and_then(|()| declared::run(project, name, others));
            let Err(error) = ran;
            ui::print_error(&error);
            return ExitCode::FAILURE;
        }
        command = command.after_help(declared::help(&project));
    }
    match C::from_arg_matches(&command.get_matches()) {
        Ok(arguments) => block_on(run(arguments)),
        Err(error) => error.exit(),
    }
}

/// Runs a command to its end with logs on stderr, and prints its error if it fails.
pub fn block_on(command: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(command)) {
        Ok(code) => code,
        Err(error) => {
            ui::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
