//! The databases of a mesh: one Postgres, one database and one role per service.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::scram;
use super::secrets::{Secrets, password, write_private};
use crate::engines::Engines;
use crate::home::{Home, StateDir, create_dir, lock};
use crate::os::{Account, Signal, said};
use crate::probe::Probe;
use crate::project::POSTGRES;
use crate::supervise::Program;

/// The role that owns the cluster; no service knows its password.
pub(super) const ADMIN: &str = "postgres";
/// Connections of the owner, of probes, and of people, beside those of the services.
const OTHER_CONNECTIONS: usize = 25;
/// Connections of one service: a pool of 20, that of its predecessor which has just been killed,
/// probes, and people. One that leaks connections leaves those of the others alone.
pub(super) const CONNECTIONS_OF_ROLE: usize = 45;

/// Creates the cluster if there is none; returns its passwords.
pub(super) fn prepare<'a>(
    home: &Home,
    engines: &Engines,
    state_dir: &StateDir,
    roles: impl Iterator<Item = &'a str>,
) -> Result<Secrets> {
    let data = state_dir.data().join(POSTGRES);
    if data.join("PG_VERSION").is_file() {
        return Secrets::complete(state_dir.path(), false, roles);
    }
    let template = template(home, engines)?;
    create_dir(state_dir.data(), 0o755)?;
    let partial = state_dir.data().join("postgres.partial");
    // An interrupted copy is no cluster.
    let _ = fs::remove_dir_all(&partial);
    copy_dir(&template.join(POSTGRES), &partial)?;
    let roles = roles.chain([ADMIN]);
    let secrets = Secrets::complete(state_dir.path(), true, roles)?;
    set_owner_password(engines, &partial, secrets.of(ADMIN)?)?;
    run_initdb(engines, &partial, |initdb| initdb.arg("--sync-only"))?;
    fs::rename(&partial, &data)?;
    Ok(secrets)
}

/// Returns a new cluster to copy, which is ten times faster than `initdb` per mesh. Nobody knows
/// the password of its owner.
fn template(home: &Home, engines: &Engines) -> Result<PathBuf> {
    let template = home
        .engines()
        .join(format!("template-postgres-{}", engines.postgres_version));
    let _guard = lock(&home.engines().join("template.lock"))?;
    if template.is_dir() {
        return Ok(template);
    }
    let work = tempfile::Builder::new()
        .prefix("template-")
        .tempdir_in(home.engines())?;
    create_dir(work.path(), 0o711)?;
    let (data, secret) = (work.path().join(POSTGRES), work.path().join("password"));
    write_private(&secret, &password())?;
    create_dir(&data, 0o700)?;
    if let Some(account) = Account::unprivileged() {
        account.own(&data)?;
        account.own(&secret)?;
    }
    let pwfile = format!("--pwfile={}", secret.display());
    // The C locale sorts and compares the same on every machine.
    run_initdb(engines, &data, |initdb| {
        initdb
            .args([
                "--username",
                ADMIN,
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                "--no-instructions",
            ])
            .arg(pwfile)
    })?;
    fs::remove_file(&secret)?;
    fs::rename(work.keep(), &template)?;
    Ok(template)
}

/// Gives the owner a password before anyone can connect: in single-user mode there is no listener.
fn set_owner_password(engines: &Engines, data: &Path, password: &str) -> Result<()> {
    let verifier = scram::verifier(password);
    let mut input = tempfile::tempfile()?;
    writeln!(input, "ALTER ROLE {ADMIN} PASSWORD '{verifier}'")?;
    input.rewind()?;
    let mut postgres = Command::new(engines.postgres_program("postgres"));
    postgres
        .args(["--single", "-c", "exit_on_error=on", "-D"])
        .arg(data)
        .arg(ADMIN)
        .stdin(Stdio::from(input));
    run(&mut postgres)
}

fn run_initdb(
    engines: &Engines,
    data: &Path,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let mut initdb = Command::new(engines.postgres_program("initdb"));
    run(arguments(&mut initdb).arg("--pgdata").arg(data))
}

/// Runs a program of Postgres to its end, under the account of the server.
fn run(program: &mut Command) -> Result<()> {
    program.env("LC_ALL", "C").current_dir("/");
    if let Some(account) = Account::unprivileged() {
        program.uid(account.uid).gid(account.gid);
    }
    said(program).map(drop)
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let account = Account::unprivileged();
    create_dir(to, 0o700)?;
    if let Some(account) = account {
        account.own(to)?;
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            if let Some(account) = account {
                account.own(&target)?;
            }
        }
    }
    Ok(())
}

pub(super) fn program(
    engines: &Engines,
    state_dir: &StateDir,
    address: SocketAddr,
    log: &Path,
    secrets: &Secrets,
    roles: usize,
) -> Result<Program> {
    let mut args: Vec<OsString> = vec!["-D".into(), state_dir.data().join(POSTGRES).into()];
    // TCP on the loopback only: a socket directory would have to be private too.
    let listener = [
        format!("listen_addresses={}", address.ip()),
        format!("port={}", address.port()),
        "unix_socket_directories=".to_owned(),
    ];
    args.extend(
        listener
            .into_iter()
            .chain(settings(roles))
            .flat_map(|setting| ["-c".into(), setting.into()]),
    );
    Ok(Program {
        name: POSTGRES.to_owned(),
        binary: engines.postgres_program("postgres"),
        args,
        env: BTreeMap::from([("LC_ALL".to_owned(), "C".to_owned())]),
        account: Account::unprivileged(),
        directory: None,
        address,
        log: log.to_owned(),
        // "Fast" shutdown: SIGTERM would wait for every client.
        stop: Signal::INT,
        probe: Probe::Postgres(Box::new(admin(address, secrets)?)),
    })
}

/// Returns the settings of the server for the databases of so many roles.
pub(super) fn settings(roles: usize) -> [String; 6] {
    let connections = roles * CONNECTIONS_OF_ROLE + OTHER_CONNECTIONS;
    [
        format!("max_connections={connections}"),
        "fsync=on".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "log_line_prefix=%m [%p] %q%u@%d ".to_owned(),
        // Details of errors quote rows.
        "log_error_verbosity=terse".to_owned(),
    ]
}

/// Returns the options for a session of [`ADMIN`].
pub(crate) fn admin(address: SocketAddr, secrets: &Secrets) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&address.ip().to_string())
        .port(address.port());
    Ok(options
        .username(ADMIN)
        .password(secrets.of(ADMIN)?)
        .database(ADMIN)
        .ssl_mode(PgSslMode::Disable))
}

pub(crate) fn url(address: impl Display, secrets: &Secrets, role: &str) -> Result<String> {
    Ok(format!(
        "postgres://{role}:{}@{address}/{role}",
        secrets.of(role)?
    ))
}

/// Creates missing roles and databases, one of each per service with its name.
pub(super) async fn provision(
    options: &PgConnectOptions,
    roles: impl Iterator<Item = &str>,
    secrets: &Secrets,
) -> Result<()> {
    let mut connection = options
        .connect()
        .await
        .context("cannot open a session as the owner of the databases")?;
    for database in [ADMIN, "template1"] {
        statement(
            &mut connection,
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        )
        .await?;
    }
    for role in roles {
        // Postgres logs a statement that fails, or all of them if someone says so.
        let verifier = scram::verifier(secrets.of(role)?);
        let verb = if exists(
            &mut connection,
            "SELECT 1 FROM pg_roles WHERE rolname = $1",
            role,
        )
        .await?
        {
            "ALTER"
        } else {
            "CREATE"
        };
        statement(
            &mut connection,
            format!(
                "{verb} ROLE \"{role}\" LOGIN CONNECTION LIMIT {CONNECTIONS_OF_ROLE} PASSWORD '{verifier}'"
            ),
        )
        .await?;
        if !exists(
            &mut connection,
            "SELECT 1 FROM pg_database WHERE datname = $1",
            role,
        )
        .await?
        {
            statement(
                &mut connection,
                format!("CREATE DATABASE \"{role}\" OWNER \"{role}\""),
            )
            .await?;
        }
        // By default every role may connect to every database.
        statement(
            &mut connection,
            format!("REVOKE ALL ON DATABASE \"{role}\" FROM PUBLIC"),
        )
        .await?;
    }
    connection.close().await?;
    Ok(())
}

async fn exists(connection: &mut PgConnection, query: &'static str, name: &str) -> Result<bool> {
    Ok(sqlx::query(query)
        .bind(name)
        .fetch_optional(connection)
        .await?
        .is_some())
}

async fn statement(connection: &mut PgConnection, sql: String) -> Result<()> {
    // Safe: names are those of our services, and verifiers are base64. Such statements have no
    // parameters.
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .context("cannot provision the databases")?;
    Ok(())
}
