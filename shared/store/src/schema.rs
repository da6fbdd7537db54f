//! The schema of a database: applied migrations, compared with those of a program, and changed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use chassis::Migration as Wish;
use chassis::config::ConfigError;
use serde_json::{Value, json};
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::time::sleep;

use crate::error::Error;

/// How long a statement of a migration waits for a lock: everything that needs the table waits
/// behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts for one migration that does not get its locks.
const LOCK_ATTEMPTS: u32 = 30;
/// Pause between two of them, in which others get the table.
const LOCK_PAUSE: Duration = Duration::from_secs(1);
/// `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// An applied migration.
#[derive(Debug, sqlx::FromRow)]
struct Applied {
    version: i64,
    description: String,
    checksum: Vec<u8>,
    success: bool,
    installed_on: String,
}

/// The migrations of one library, or of the service itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'a> {
    migrator: &'a Migrator,
    /// The schema of the library, or the name of the process.
    name: &'a str,
}

// === impl Set ===

impl<'a> Set<'a> {
    /// Takes the name from the table in which the library records its migrations.
    pub(crate) fn new(migrator: &'a Migrator, process: &'a str) -> Self {
        let table = migrator.table_name.split_once('.');
        Self {
            migrator,
            name: table.map_or(process, |(schema, _)| schema),
        }
    }

    /// Checks that all migrations are applied as they are in this program, and that this program
    /// gets along with those that it does not have.
    pub(crate) async fn compare(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let applied = self.applied(connection).await?;
        self.check(&applied)?;
        let missing = self
            .forward()
            .find(|migration| applied.iter().all(|one| one.version != migration.version));
        match missing {
            None => Ok(()),
            Some(migration) => Err(Error::Outdated {
                version: migration.version,
                description: migration.description.to_string(),
                table: self.migrator.table_name.to_string(),
            }),
        }
    }

    /// Applies what is missing, up to a version.
    pub(crate) async fn up(
        &self,
        connection: &mut PgConnection,
        to: Option<i64>,
    ) -> Result<(), Error> {
        let table = &self.migrator.table_name;
        connection.lock().await?;
        for schema in self.migrator.create_schemas.iter() {
            connection.create_schema_if_not_exists(schema).await?;
        }
        connection.ensure_migrations_table(table).await?;
        let applied = self.applied(connection).await?;
        self.check(&applied)?;
        let is_applied = |version| applied.iter().any(|one| one.version == version);
        let missing = self
            .forward()
            .take_while(|migration| to.is_none_or(|to| migration.version <= to))
            .filter(|migration| !is_applied(migration.version));
        for migration in missing {
            self.carry_out(connection, migration).await?;
        }
        connection.unlock().await?;
        Ok(())
    }

    /// Rolls back what is applied above a version; without one, the last migration.
    pub(crate) async fn down(
        &self,
        connection: &mut PgConnection,
        to: Option<i64>,
    ) -> Result<(), Error> {
        connection.lock().await?;
        let applied = self.applied(connection).await?;
        self.check(&applied)?;
        let last = applied.iter().map(|one| one.version).max();
        if let Some(unknown) = last.filter(|last| !self.migrator.version_exists(*last)) {
            return Err(Error::Unknown {
                version: unknown,
                library: self.name.to_owned(),
            });
        }
        let to = to.or_else(|| last.map(|last| last - 1)).unwrap_or(0);
        for one in applied.iter().rev().filter(|one| one.version > to) {
            let rollback = self.migrator.iter().find(|migration| {
                migration.version == one.version && migration.migration_type.is_down_migration()
            });
            let rollback = rollback.ok_or_else(|| Error::NoRollback {
                version: one.version,
                description: one.description.clone(),
            })?;
            self.carry_out(connection, rollback).await?;
        }
        connection.unlock().await?;
        Ok(())
    }

    /// Runs a migration, which waits for its locks a short time only: calls that need the table
    /// wait behind it. One outside of a transaction would leave a part behind, and waits.
    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
    ) -> Result<(), Error> {
        let table = &self.migrator.table_name;
        let is_down = migration.migration_type.is_down_migration();
        let limit = match migration.no_tx {
            true => 0,
            false => LOCK_TIMEOUT.as_millis(),
        };
        let bound = AssertSqlSafe(format!("SET lock_timeout = {limit}"));
        connection.execute(bound).await.map_err(Error::Connect)?;
        let mut attempts = 0;
        loop {
            let outcome = match is_down {
                true => connection.revert(table, migration).await,
                false => connection.apply(table, migration).await,
            };
            attempts += 1;
            match outcome {
                Err(error) if lacks_lock(&error) && attempts < LOCK_ATTEMPTS => {
                    tracing::warn!(
                        library = self.name,
                        version = migration.version,
                        attempts,
                        "the migration waits for locks, and lets others pass"
                    );
                    sleep(LOCK_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        connection
            .execute("RESET lock_timeout")
            .await
            .map_err(Error::Connect)?;
        tracing::info!(
            library = self.name,
            version = migration.version,
            description = %migration.description,
            "{}",
            if is_down { "migration rolled back" } else { "migration applied" }
        );
        Ok(())
    }

    /// Checks what is applied: by this program's migrations, or by those of a newer one that only
    /// expand.
    fn check(&self, applied: &[Applied]) -> Result<(), Error> {
        let last = self.forward().map(|migration| migration.version).max();
        let last = last.unwrap_or(0);
        for one in applied {
            if !one.success {
                return Err(MigrateError::Dirty(one.version).into());
            }
            let own = self.forward().find(|own| own.version == one.version);
            match own {
                Some(own) if *own.checksum == *one.checksum => {}
                Some(_) => return Err(MigrateError::VersionMismatch(one.version).into()),
                // Between own ones: of another line of development.
                None if one.version < last => {
                    return Err(MigrateError::VersionMissing(one.version).into());
                }
                None => match migrations::contract_after(&one.description) {
                    Some(after) if after > last => {
                        return Err(Error::Contracted {
                            version: one.version,
                            description: one.description.clone(),
                            library: self.name.to_owned(),
                            last,
                        });
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn forward(&self) -> impl Iterator<Item = &'a Migration> {
        let all = self.migrator.iter();
        all.filter(|migration| !migration.migration_type.is_down_migration())
    }

    async fn applied(&self, connection: &mut PgConnection) -> Result<Vec<Applied>, Error> {
        let table = &self.migrator.table_name;
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table.as_ref())
            .fetch_one(&mut *connection)
            .await
            .map_err(Error::Connect)?;
        if !is_there {
            return Ok(Vec::new());
        }
        let listed = AssertSqlSafe(format!(
            "SELECT version, description, checksum, success, installed_on::text FROM {table} ORDER BY version"
        ));
        let applied = sqlx::query_as(listed).fetch_all(connection).await;
        applied.map_err(Error::Connect)
    }

    /// Returns each migration with its state: `applied`, `pending`, `changed` since it was applied,
    /// or `unknown` to this program.
    async fn status(&self, connection: &mut PgConnection) -> Result<Value, Error> {
        let applied = self.applied(connection).await?;
        let known = self.forward().map(|migration| {
            let found = applied.iter().find(|one| one.version == migration.version);
            let state = match found {
                None => "pending",
                Some(one) if *one.checksum == *migration.checksum => "applied",
                Some(_) => "changed",
            };
            let mut versions = self
                .migrator
                .iter()
                .filter(|own| own.version == migration.version);
            let has_rollback = versions.any(|own| own.migration_type.is_down_migration());
            json!({
                "version": migration.version, "description": migration.description,
                "state": state, "rollback": has_rollback,
                "applied_at": found.map(|one| &one.installed_on),
            })
        });
        let others = applied
            .iter()
            .filter(|one| !self.migrator.version_exists(one.version));
        let unknown = others.map(|one| {
            json!({
                "version": one.version, "description": one.description,
                "state": "unknown", "rollback": false, "applied_at": one.installed_on,
            })
        });
        let all: Vec<Value> = known.chain(unknown).collect();
        Ok(json!({"library": self.name, "migrations": all}))
    }
}

/// Does what the verb `migrate` was asked for.
pub(crate) async fn migrate(
    connection: &mut PgConnection,
    sets: &[Set<'_>],
    process: &str,
    wish: &Wish,
) -> Result<(), Error> {
    let named = wish.library.as_deref().unwrap_or(process);
    let Some(chosen) = sets.iter().find(|set| set.name == named) else {
        let known: Vec<&str> = sets.iter().map(|set| set.name).collect();
        let problem = format!("expected one of {}, got {named}", known.join(", "));
        return Err(ConfigError::new("--library", problem, "the command line").into());
    };
    match wish.direction {
        chassis::Direction::Down => chosen.down(connection, wish.to).await,
        chassis::Direction::Up if wish.library.is_some() => chosen.up(connection, wish.to).await,
        chassis::Direction::Up => {
            // The service's own follow those of the libraries that it uses.
            for set in sets {
                let to = wish.to.filter(|_| set.name == process);
                set.up(connection, to).await?;
            }
            Ok(())
        }
        chassis::Direction::Status => {
            let mut all = Vec::new();
            for set in sets {
                all.push(set.status(connection).await?);
            }
            let text = match wish.json {
                true => format!("{}\n", json!({"service": process, "libraries": all})),
                false => table(&all),
            };
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes())
                .map_err(|error| Error::Connect(sqlx::Error::Io(error)))
        }
    }
}

/// Returns the status for people.
fn table(libraries: &[Value]) -> String {
    let mut text = String::new();
    for library in libraries {
        let name = library["library"].as_str().unwrap_or_default();
        for migration in library["migrations"].as_array().into_iter().flatten() {
            let told = |key: &str| migration[key].as_str().unwrap_or("-").to_owned();
            let rollback = match migration["rollback"].as_bool() {
                Some(true) => "",
                _ => "  no rollback",
            };
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "{name:<14} {:>4}  {:<8} {:<30} {}{rollback}",
                migration["version"].as_i64().unwrap_or_default(),
                told("state"),
                told("applied_at"),
                told("description"),
            );
        }
    }
    text
}

fn lacks_lock(error: &MigrateError) -> bool {
    let cause = match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause,
        _ => return false,
    };
    let code = cause.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}
