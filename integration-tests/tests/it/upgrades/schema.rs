//! Programs start on the schema of a newer one as long as it has what they use, and migrations let
//! others pass.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chassis::config::{Layers, Sources};
use chassis::{Direction, Migration as Wish, Process, Task};
use integration_tests::{Mesh, eventually};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Executor, PgPool, SqlSafeStr};
use store::{Database, Error, Settings};

/// Three releases: a table, a column more, and an older column less.
const SCHEMA: [(i64, &str, &str, &str); 3] = [
    (
        1,
        "item",
        "CREATE TABLE item (note text)",
        "DROP TABLE item",
    ),
    (
        2,
        "text",
        "ALTER TABLE item ADD COLUMN body text",
        "ALTER TABLE item DROP COLUMN body",
    ),
    (
        3,
        "contract after 2 drop note",
        "ALTER TABLE item DROP COLUMN note",
        "ALTER TABLE item ADD COLUMN note text",
    ),
];

/// Returns the migrations of a release.
fn release(last: usize) -> Migrator {
    let migrations = SCHEMA
        .iter()
        .take(last)
        .flat_map(|&(version, description, up, down)| {
            let migration = move |kind, sql: &'static str| {
                Migration::new(version, description.into(), kind, sql.into_sql_str(), false)
            };
            [
                migration(MigrationType::ReversibleUp, up),
                migration(MigrationType::ReversibleDown, down),
            ]
        });
    Migrator::with_migrations(migrations.collect())
}

/// Starts a program on the database, and stops it; `applies` says whether it may migrate.
async fn start(url: &str, release: &Migrator, applies: bool) -> Result<(), Error> {
    let settings = Settings {
        migrate: applies,
        ..Settings::default()
    };
    let process = process(Task::Serve);
    Database::open(&process, url, 1, &settings, &[release]).await?;
    process.drain();
    Ok(())
}

/// Runs the verb `migrate` of a program.
async fn migrate(url: &str, release: &Migrator, wish: Wish) -> Result<(), Error> {
    let process = process(Task::Migrate(wish));
    let done = process.draining();
    let settings = Settings::default();
    let migrations = [release];
    tokio::select! {
        opened = Database::open(&process, url, 1, &settings, &migrations) => opened.map(drop),
        () = done.cancelled() => Ok(()),
    }
}

fn process(task: Task) -> Process {
    let layers = Layers::load("", &Sources::default()).unwrap();
    Process::with_task("shop", layers.settings().unwrap(), task)
}

fn down(to: Option<i64>) -> Wish {
    Wish {
        direction: Direction::Down,
        to,
        ..Wish::default()
    }
}

async fn database() -> Result<(Mesh, String, PgPool)> {
    let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
    let url = mesh.stack().database_url("shipping")?;
    let pool = mesh.database("shipping").await?;
    Ok((mesh, url, pool))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_starts_on_a_newer_schema_unless_that_lacks_what_it_uses() -> Result<()> {
    let (_mesh, url, _pool) = database().await?;
    let [first, second, third] = [1, 2, 3].map(release);
    for applies in [true, false] {
        // Each release brings its migration; the program of the one before goes on.
        start(&url, &first, true).await?;
        let lacking = start(&url, &second, false).await.unwrap_err().to_string();
        assert!(lacking.contains("lacks migration 2 (text)"), "{lacking}");
        start(&url, &second, true).await?;
        start(&url, &first, applies).await?;
        start(&url, &third, true).await?;
        start(&url, &second, applies).await?;

        // Two releases back, a column is missing.
        let refused = start(&url, &first, applies).await.unwrap_err().to_string();
        for part in [
            "migration 3 (contract after 2 drop note) of shop",
            "`migrate down --to 1`",
        ] {
            assert!(refused.contains(part), "{part} is missing: {refused}");
        }
        let unknown = migrate(&url, &second, down(Some(1))).await.unwrap_err();
        assert!(
            matches!(unknown, Error::Unknown { version: 3, .. }),
            "{unknown}"
        );
        migrate(&url, &third, down(Some(1))).await?;
        start(&url, &first, applies).await?;
        migrate(&url, &first, down(None)).await?;
    }
    let wish = Wish {
        library: Some("depot".into()),
        ..Wish::default()
    };
    let unknown = migrate(&url, &first, wish).await.unwrap_err().to_string();
    assert!(
        unknown.contains("expected one of shop, got depot"),
        "{unknown}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_lets_others_pass() -> Result<()> {
    let (_mesh, url, pool) = database().await?;
    start(&url, &release(1), true).await?;
    let mut reader = pool.begin().await?;
    reader.execute("SELECT * FROM item").await?;
    let second = release(2);
    let migration = tokio::spawn(async move { start(&url, &second, true).await });

    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE item%' AND wait_event_type = 'Lock'";
    eventually("the migration waiting for its lock", async || {
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await?;
        ensure!(waiting == 1, "{waiting} waiting");
        Ok(())
    })
    .await?;
    // Behind a lock that is waited for, every other use of the table waits too.
    let begun = Instant::now();
    pool.execute("SELECT * FROM item").await?;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert!(!migration.is_finished());

    reader.rollback().await?;
    migration.await??;
    pool.execute("SELECT body FROM item").await?;
    Ok(())
}
