//! The secrets of a stack: files in `.mesh/compose`, which Compose mounts into containers.
//!
//! A container has its own user, so the files are readable by all, and the directory by its owner
//! only: no one else on the machine reaches them.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::super::secrets::{Secrets, password, write_private};
use super::super::{nats, operator, postgres, scram, valkey};
use super::{check, engines, gateway_configuration};
use crate::home::create_dir;
use crate::project::{Engine, GATEWAY, NATS, POSTGRES, Project, VALKEY};

/// The directory of the secrets, relative to the project.
pub const DIRECTORY: &str = ".mesh/compose";

/// The ports of engines, in their containers.
const POSTGRES_PORT: u16 = 5432;
const NATS_PORT: u16 = 4222;
const VALKEY_PORT: u16 = 6379;

/// Files of passwords, which stay as they are; only new users get new ones.
const DATABASE_PASSWORDS: &str = "passwords-of-postgres";
const BROKER_PASSWORDS: &str = "passwords-of-nats";
const STORE_PASSWORDS: &str = "passwords-of-valkey";

/// The names of secrets, which are those of their files, beside a configuration per process.
pub(super) const OWNER: &str = "postgres-password";
pub(super) const SERVICE_FILE: &str = "databases-connection";
pub(super) const ROLES: &str = "databases-roles";
pub(super) const BROKER: &str = "nats-configuration";
pub(super) const STORE: &str = "valkey-configuration";
pub(super) const OPERATORS: &str = "operators";

/// Returns the name of the secret with the configuration of a process.
pub(super) fn configuration_of(process: &str) -> String {
    format!("{process}-configuration")
}

/// Writes the secrets of a project's stack. Passwords of an earlier call stay; so do those of roles
/// whose service has gone.
///
/// # Errors
/// When a file can't be written, or the project asks for what a stack can't have.
pub fn write(project: &Project) -> Result<()> {
    check(project)?;
    let project = &project.without_issuer();
    let dir = project.root().join(DIRECTORY);
    create_dir(&project.root().join(".mesh"), 0o755)?;
    create_dir(&dir, 0o700)?;
    let mut configurations: Vec<(&str, Table)> = Vec::new();
    for name in project.names() {
        let table = match name {
            GATEWAY => gateway_configuration(project)?,
            _ => Table::new(),
        };
        configurations.push((name, table));
    }
    let mut set = |process: &str, path: &[&str], value: String| {
        let found = configurations.iter_mut().find(|(name, _)| *name == process);
        found.map_or(Ok(()), |(_, table)| insert(table, path, value))
    };
    for engine in engines(project) {
        let users: Vec<&str> = project.users_of(engine).collect();
        match engine {
            Engine::Postgres => {
                let names = users.iter().copied().chain([postgres::ADMIN]);
                let passwords = Secrets::kept(&dir.join(DATABASE_PASSWORDS), names)?;
                databases(&dir, &users, &passwords)?;
                for user in users {
                    let host = format!("{POSTGRES}:{POSTGRES_PORT}");
                    let url = postgres::url(host, &passwords, user)?;
                    set(user, &["database_url"], url)?;
                }
            }
            Engine::Nats => {
                let names = users.iter().copied().chain([nats::OPERATOR]);
                let passwords = Secrets::kept(&dir.join(BROKER_PASSWORDS), names)?;
                broker(project, &dir, &users, &passwords)?;
                for user in users {
                    let url = nats::url(format!("{NATS}:{NATS_PORT}"), &passwords, user)?;
                    set(user, &["events", "nats_url"], url)?;
                }
            }
            Engine::Valkey => {
                let names = users.iter().copied().chain([valkey::OPERATOR]);
                let passwords = Secrets::kept(&dir.join(STORE_PASSWORDS), names)?;
                let listen = ([0, 0, 0, 0], VALKEY_PORT).into();
                let text = valkey::configuration(listen, &passwords, &users)?;
                write_secret(&dir, STORE, &text)?;
                for user in users {
                    let url = valkey::url(format!("{VALKEY}:{VALKEY_PORT}"), &passwords, user)?;
                    set(user, &["valkey", "url"], url)?;
                }
            }
        }
    }
    for (process, table) in configurations {
        write_secret(&dir, &configuration_of(process), &toml::to_string(&table)?)?;
    }
    let operators = dir.join(OPERATORS);
    if !operators.is_file() {
        write_secret(
            &dir,
            OPERATORS,
            &format!("{} {}\n", operator::NAME, password()),
        )?;
    }
    Ok(())
}

/// Sets a value at a path of tables.
fn insert(table: &mut Table, path: &[&str], value: String) -> Result<()> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(());
    };
    let parent = parents.iter().try_fold(table, |table, name| {
        let next = table.entry(*name).or_insert_with(|| Table::new().into());
        next.as_table_mut()
    });
    let parent = parent.with_context(|| format!("{}: expected a table", parents.join(".")))?;
    parent.insert((*last).to_owned(), Value::String(value));
    Ok(())
}

/// Writes the owner's password, and the statements that make roles and databases: those of
/// [`postgres::provision`], to be repeated for new services. They have verifiers, no passwords.
fn databases(dir: &Path, roles: &[&str], passwords: &Secrets) -> Result<()> {
    let owner = passwords.of(postgres::ADMIN)?;
    write_secret(dir, OWNER, owner)?;
    let connection = format!(
        "[{POSTGRES}]\nhost={POSTGRES}\nport={POSTGRES_PORT}\ndbname={0}\nuser={0}\npassword={owner}\n",
        postgres::ADMIN
    );
    write_secret(dir, SERVICE_FILE, &connection)?;
    let mut sql = String::new();
    for database in [postgres::ADMIN, "template1"] {
        writeln!(sql, "REVOKE ALL ON DATABASE {database} FROM PUBLIC;")?;
    }
    for role in roles {
        let verifier = scram::verifier(passwords.of(role)?);
        let limit = postgres::CONNECTIONS_OF_ROLE;
        writeln!(
            sql,
            "SELECT 'CREATE ROLE \"{role}\"'\n\
             WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')\\gexec\n\
             ALTER ROLE \"{role}\" LOGIN CONNECTION LIMIT {limit} PASSWORD '{verifier}';\n\
             SELECT 'CREATE DATABASE \"{role}\" OWNER \"{role}\"'\n\
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{role}')\\gexec\n\
             REVOKE ALL ON DATABASE \"{role}\" FROM PUBLIC;"
        )?;
    }
    write_secret(dir, ROLES, &sql)
}

fn broker(project: &Project, dir: &Path, users: &[&str], passwords: &Secrets) -> Result<()> {
    let users = nats::users(project, users, std::iter::empty(), passwords)?;
    let listen = format!("0.0.0.0:{NATS_PORT}");
    let mut configuration = nats::configuration(&listen, "/data", users);
    // For health checks, which ask from within the container.
    configuration["http"] = "127.0.0.1:8222".into();
    write_secret(dir, BROKER, &serde_json::to_string_pretty(&configuration)?)
}

fn write_secret(dir: &Path, name: &str, text: &str) -> Result<()> {
    let file = dir.join(name);
    write_private(&file, text)?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))
        .with_context(|| format!("cannot write {}", file.display()))
}
