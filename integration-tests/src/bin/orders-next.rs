//! A next release of orders for the tests of upgrades: the same program, which needs one more
//! migration.

use std::process::ExitCode;
use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};

const UP: &str = include_str!("../../next/0007_channel.up.sql");
const DOWN: &str = include_str!("../../next/0007_channel.down.sql");

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let next = |kind, sql: &'static str| {
        let sql = sqlx::SqlSafeStr::into_sql_str(sql);
        Migration::new(7, "channel".into(), kind, sql, false)
    };
    let further = [
        next(MigrationType::ReversibleUp, UP),
        next(MigrationType::ReversibleDown, DOWN),
    ];
    let all = orders::MIGRATIONS.iter().cloned().chain(further);
    Migrator::with_migrations(all.collect())
});

fn main() -> ExitCode {
    chassis::main("orders", orders::DEFAULTS, async |process, config| {
        orders::start_on(process, config, &MIGRATIONS).await
    })
}
