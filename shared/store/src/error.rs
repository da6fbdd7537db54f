//! The errors of opening a database and of changing its schema.

use chassis::config::ConfigError;
use sqlx::migrate::MigrateError;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `database_url` is no URL of a Postgres database.
    #[error(
        "database_url: expected a URL such as `postgres://user:password@host:5432/name` (PROTOMESH_DATABASE_URL)"
    )]
    Url(#[source] sqlx::Error),
    /// The database could not be reached within `connect_timeout_ms`, or refuses the role.
    #[error("database_url: can't connect")]
    Connect(#[source] sqlx::Error),
    /// A migration failed, or has changed since it was applied.
    #[error("migrating the database")]
    Migrate(#[from] MigrateError),
    /// The schema lacks a migration, and `database.migrate` is off.
    #[error(
        "the database lacks migration {version} ({description}) of {table}: run this program with `migrate`, or set `database.migrate`"
    )]
    Outdated {
        /// Version of the first migration that is missing.
        version: i64,
        /// Its description.
        description: String,
        /// The table of applied migrations, which tells the libraries of a service apart.
        table: String,
    },
    /// The schema lacks what this program uses: a newer one has removed it.
    #[error(
        "the database has migration {version} ({description}) of {library}, which removes what this program still uses, as it ends with migration {last}: start a newer program, or roll back with that one's `migrate down --to {last}`"
    )]
    Contracted {
        /// Version of the migration.
        version: i64,
        /// Its description.
        description: String,
        /// The library, or the service.
        library: String,
        /// The last migration of this program.
        last: i64,
    },
    /// A migration of a newer program is to be rolled back.
    #[error(
        "the database has migration {version} of {library}, which this program does not have: roll back with the program that has it"
    )]
    Unknown {
        /// Version of the migration.
        version: i64,
        /// The library, or the service.
        library: String,
    },
    /// A migration has no rollback.
    #[error("migration {version} ({description}) has no rollback, a file `.down.sql`")]
    NoRollback {
        /// Version of the migration.
        version: i64,
        /// Its description.
        description: String,
    },
}
