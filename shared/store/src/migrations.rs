//! The migrations that generated code embeds.

use std::ops::Deref;
use std::sync::OnceLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// First words of a migration that runs outside of a transaction, as `sqlx` reads them.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Version, description, SQL, and the SQL of the rollback.
type Source = (i64, &'static str, &'static str, Option<&'static str>);

/// The migrations of one service, embedded in its program; [`Database::open`] applies them.
///
/// `codegen::Builder::migrations` writes the table.
///
/// [`Database::open`]: crate::Database::open
#[derive(Debug)]
pub struct Migrations {
    sources: &'static [Source],
    migrator: OnceLock<Migrator>,
}

// === impl Migrations ===

impl Migrations {
    /// Creates the table from versions in ascending order, descriptions, SQL, and the SQL of
    /// rollbacks.
    pub const fn new(sources: &'static [Source]) -> Self {
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
            let migrations = self
                .sources
                .iter()
                .flat_map(|&(version, description, up, down)| {
                    let migration = move |kind, sql: &'static str| {
                        let is_outside = sql.starts_with(NO_TRANSACTION);
                        let text = sql.into_sql_str();
                        Migration::new(version, description.into(), kind, text, is_outside)
                    };
                    let forward = match down {
                        Some(_) => MigrationType::ReversibleUp,
                        None => MigrationType::Simple,
                    };
                    let down = down.map(|sql| migration(MigrationType::ReversibleDown, sql));
                    [migration(forward, up)].into_iter().chain(down)
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
            (1, "first", "CREATE TABLE a ()", None),
            (
                2,
                "index",
                "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (b)",
                Some("DROP INDEX i"),
            ),
        ]);
        let outside: Vec<(i64, bool, bool)> = MIGRATIONS
            .iter()
            .map(|one| {
                let is_down = one.migration_type.is_down_migration();
                (one.version, is_down, one.no_tx)
            })
            .collect();
        assert_eq!(
            outside,
            [(1, false, false), (2, false, true), (2, true, false)]
        );
    }
}
