//! A service on a schema that is older than its program: it does not start before a job has
//! migrated.

use anyhow::Result;
use chassis::config::{Layers, Sources};
use chassis::{Migration, Process, Task};
use integration_tests::Mesh;
use store::{Database, Error, Migrations, Settings};

static OLD: Migrations = Migrations::new(&[(1, "first", "CREATE TABLE thing (id int)", None)]);
static NEW: Migrations = Migrations::new(&[
    (1, "first", "CREATE TABLE thing (id int)", None),
    (2, "named", "ALTER TABLE thing ADD COLUMN name text", None),
]);
static CHANGED: Migrations =
    Migrations::new(&[(1, "first", "CREATE TABLE thing (id bigint)", None)]);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_migrate_waits_for_the_job_that_does() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
    let url = mesh.stack().database_url("orders")?;

    let missing = serve(&url, &OLD).await.unwrap_err();
    assert!(
        matches!(missing, Error::Outdated { version: 1, .. }),
        "{missing:?}"
    );
    migrate(&url, &OLD).await?;
    serve(&url, &OLD).await?;

    let missing = serve(&url, &NEW).await.unwrap_err();
    let text = missing.to_string();
    for part in ["migration 2 (named)", "`migrate`", "`database.migrate`"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    migrate(&url, &NEW).await?;
    serve(&url, &NEW).await?;
    // The program of before goes on while it is replaced.
    serve(&url, &OLD).await?;

    let changed = serve(&url, &CHANGED).await.unwrap_err();
    assert!(matches!(changed, Error::Migrate(_)), "{changed:?}");
    Ok(())
}

/// Opens the database as a service does that leaves migrations to a job.
async fn serve(url: &str, migrations: &Migrations) -> Result<(), Error> {
    let settings = Settings {
        migrate: false,
        ..Settings::default()
    };
    let process = process(Task::Serve);
    Database::open(&process, url, 1, &settings, &[migrations]).await?;
    Ok(())
}

/// Opens it as the verb `migrate` does, which ends the process.
async fn migrate(url: &str, migrations: &Migrations) -> Result<()> {
    let process = process(Task::Migrate(Migration::default()));
    let settings = Settings::default();
    let migrations = [&**migrations];
    tokio::select! {
        () = process.draining().cancelled_owned() => Ok(()),
        opened = Database::open(&process, url, 1, &settings, &migrations) => {
            anyhow::bail!("the process goes on: {:?}", opened.err())
        }
    }
}

fn process(task: Task) -> Process {
    let settings = Layers::load("", &Sources::default()).and_then(|layers| layers.settings());
    Process::with_task("orders", settings.expect("the defaults are valid"), task)
}
