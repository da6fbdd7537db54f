//! The migrations that generated code embeds.

use std::ops::Deref;
use std::sync::OnceLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// First words of a migration that runs outside of a transaction, as `sqlx` reads them.
const NO_TRANSACTION: &str = "-- no-transaction";

/// The migrations of one service, embedded in its program; [`Database::open`] applies them.
///
/// `codegen::Builder::migrations` writes the table.
///
/// [`Database::open`]: crate::Database::open
#[derive(Debug)]
pub struct Migrations {
    /// Version, description, SQL.
    sources: &'static [(i64, &'static str, &'static str)],
    migrator: OnceLock<Migrator>,
}

// === impl Migrations ===

impl Migrations {
    /// Creates the table from versions in ascending order, descriptions and SQL.
    pub const fn new(sources: &'static [(i64, &'static str, &'static str)]) -> Self {
        Self {
            sources,
            migrator: OnceLock::new(),
        }
    }
}

impl Deref for Migrations {
    type Target = Migrator;

    fn deref(&self) -> &Migrator {
        self.migrator.get_or_init(|| {
            let migrations = self.sources.iter().map(|&(version, description, sql)| {
                Migration::new(
                    version,
                    description.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    sql.starts_with(NO_TRANSACTION),
                )
            });
            Migrator::with_migrations(migrations.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_whether_it_runs_in_a_transaction() {
        static MIGRATIONS: Migrations = Migrations::new(&[
            (1, "first", "CREATE TABLE a ()"),
            (
                2,
                "index",
                "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (b)",
            ),
        ]);
        let outside: Vec<(i64, bool)> = MIGRATIONS
            .iter()
            .map(|migration| (migration.version, migration.no_tx))
            .collect();
        assert_eq!(outside, [(1, false), (2, true)]);
    }
}
