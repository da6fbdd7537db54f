//! `cargo xtask sqlx`: checks the SQL of a crate against a new database and rewrites its offline
//! data.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use mesh::Stack;
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, StateDir};
use mesh::ui::Ui;
use mesh::{StackOptions, cargo};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The libraries with SQL: each has a schema of its name in the databases of the services.
const LIBRARIES: [&str; 4] = ["events", "saga", "desk", "eventsourcing"];
/// Directory of offline data in a crate.
const OFFLINE: &str = ".sqlx";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Crate whose SQL has changed
    #[arg(value_name = "CRATE")]
    name: String,
}

fn check_name(home: &Home, name: &str) -> Result<()> {
    let services = home.project().services().iter();
    let services = services.map(|service| service.name.as_str());
    let known: Vec<&str> = services.chain(LIBRARIES).collect();
    ensure!(
        known.contains(&name),
        "no crate {name} with SQL; expected one of {}",
        known.join(", ")
    );
    Ok(())
}

pub(super) async fn sqlx(args: Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    check_name(&home, &args.name)?;
    let options = StackOptions::new(&home)?.engines_only();
    let work = async {
        let stack = Stack::launch(&home, StateDir::scratch(&home)?, options, ui).await?;
        rewrite(&home, &stack, &args.name, ui).await?;
        stack.shutdown().await
    };
    // The drop kills all started processes.
    tokio::select! {
        done = work => drop(done?),
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped; nothing was rewritten");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn rewrite(home: &Home, stack: &Stack, name: &str, ui: Ui) -> Result<()> {
    let dir = directory(home, name);
    let step = ui.step(format!("applying the migrations of {name}"));
    let url = database(home, stack, name).await?;
    step.done();
    let fresh = tempfile::tempdir()?;
    let step = ui.step(format!("checking {name} against its database"));
    check(home, name, &url, fresh.path()).await?;
    step.done();
    let (written, changed) = replace(fresh.path(), &dir.join(OFFLINE))?;
    ui.note(format!(
        "{}: {written} statements, {changed} files changed",
        dir.join(OFFLINE).display()
    ));
    Ok(())
}

fn is_library(name: &str) -> bool {
    LIBRARIES.contains(&name)
}

fn directory(home: &Home, name: &str) -> PathBuf {
    let parent = if is_library(name) {
        "shared"
    } else {
        "services"
    };
    home.root().join(parent).join(name)
}

/// Creates a database with all migrations that the crate's SQL needs; returns its URL.
async fn database(home: &Home, stack: &Stack, name: &str) -> Result<String> {
    let owner = stack.database_url("postgres")?;
    // A new database: the existing one of the service belongs to another role.
    let database = format!("{name}_sqlx");
    let mut connection = PgConnection::connect(&owner).await?;
    execute(&mut connection, format!("CREATE DATABASE {database}")).await?;
    connection.close().await?;
    let url = match owner.rsplit_once('/') {
        Some((server, _)) => format!("{server}/{database}"),
        None => bail!("{owner} names no database"),
    };
    let mut connection = PgConnection::connect(&url).await?;
    for library in LIBRARIES {
        execute(&mut connection, format!("CREATE SCHEMA {library}")).await?;
        migrate(&mut connection, &directory(home, library)).await?;
    }
    if !is_library(name) {
        migrate(&mut connection, &directory(home, name)).await?;
    }
    connection.close().await?;
    Ok(url)
}

/// Runs migrations without recording them: two crates would share one history.
async fn migrate(connection: &mut PgConnection, dir: &Path) -> Result<()> {
    let dir = dir.join("migrations");
    let describe = || format!("cannot read {}", dir.display());
    let entries = fs::read_dir(&dir).with_context(describe)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(describe)?;
    let name = |file: &PathBuf| file.to_string_lossy().into_owned();
    files.retain(|file| name(file).ends_with(".sql") && !name(file).ends_with(".down.sql"));
    files.sort();
    for file in files {
        let sql = fs::read_to_string(&file).with_context(describe)?;
        execute(connection, sql)
            .await
            .with_context(|| format!("cannot apply {}", file.display()))?;
    }
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<()> {
    // Safe: migrations of this repository, or statements with names from it.
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}

/// Compiles the crate against its database; the macros write offline data into `offline`.
async fn check(home: &Home, name: &str, url: &str, offline: &Path) -> Result<()> {
    // Macros run only when their crate is compiled.
    touch(&directory(home, name).join("src"), SystemTime::now())?;
    let mut check = cargo::command(home);
    let package = if is_library(name) {
        format!("protomesh-{name}")
    } else {
        name.to_owned()
    };
    check
        .args(["check", "--quiet", "--all-targets", "--package", &package])
        .env(format!("{}_DATABASE_URL", name.to_uppercase()), url)
        .env("SQLX_OFFLINE_DIR", offline)
        .env("SQLX_OFFLINE", "false");
    let status = tokio::process::Command::from(check)
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("{name} does not compile against its migrations; its offline data was left as it is");
    }
    Ok(())
}

fn touch(dir: &Path, now: SystemTime) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            touch(&path, now)?;
        } else {
            let file = File::options().append(true).open(&path)?;
            file.set_modified(now)?;
        }
    }
    Ok(())
}

/// Makes `to` equal to `from`; returns the number of files, and of those added, changed or deleted.
fn replace(from: &Path, to: &Path) -> Result<(usize, usize)> {
    let names = |dir: &Path| -> Result<Vec<_>> {
        let entries = fs::read_dir(dir)?;
        Ok(entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?)
    };
    fs::create_dir_all(to)?;
    let (new, old) = (names(from)?, names(to)?);
    let mut changed = 0;
    for name in old.iter().filter(|name| !new.contains(name)) {
        fs::remove_file(to.join(name))?;
        changed += 1;
    }
    for name in &new {
        let text = fs::read(from.join(name))?;
        if fs::read(to.join(name)).ok().as_ref() != Some(&text) {
            fs::write(to.join(name), text)?;
            changed += 1;
        }
    }
    Ok((new.len(), changed))
}
