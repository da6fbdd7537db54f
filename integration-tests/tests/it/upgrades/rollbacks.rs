//! Each migration of each service and library is rolled back, and leaves the schema that was there
//! before it.

use anyhow::Result;
use integration_tests::Mesh;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::programs::{migrate, program};

/// Everything that a schema consists of, a line each. A rule that a rollback brings back for new
/// rows only counts as the one that was there.
const SCHEMA: &str = "
    WITH own AS (
        SELECT oid, nspname FROM pg_namespace
        WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ), part (line) AS (
        SELECT format('column %s.%s.%s %s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable,
                      column_default, generation_expression)
        FROM information_schema.columns JOIN own ON table_schema = nspname
        UNION ALL
        SELECT format('constraint %s %s %s', conrelid::regclass, conname,
                      replace(pg_get_constraintdef(c.oid), ' NOT VALID', ''))
        FROM pg_constraint c JOIN own ON connamespace = own.oid WHERE contype <> 'n'
        UNION ALL
        SELECT 'index ' || indexdef FROM pg_indexes JOIN own ON schemaname = nspname
        UNION ALL
        SELECT format('trigger %s %s', pg_get_triggerdef(t.oid), tgenabled)
        FROM pg_trigger t JOIN pg_class r ON tgrelid = r.oid JOIN own ON relnamespace = own.oid WHERE NOT tgisinternal
        UNION ALL
        SELECT CASE prokind WHEN 'f' THEN pg_get_functiondef(p.oid) END
        FROM pg_proc p JOIN own ON pronamespace = own.oid
    )
    SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM part WHERE line NOT LIKE '%_sqlx_migrations%'";

const SERVICES: [&str; 6] = [
    "identity",
    "ingest",
    "inventory",
    "orders",
    "payments",
    "shipping",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_migration_is_rolled_back_to_the_schema_before_it() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
    for service in SERVICES {
        let pool = mesh.database(service).await?;
        let libraries = libraries(&mesh, service).await?;
        for (library, last) in &libraries {
            // The libraries are the same in each service; orders has all of them.
            if library == service || service == "orders" {
                there_and_back(&mesh, &pool, service, library, *last).await?;
            }
        }
        migrate(&mesh, service, &program(service)?, "up").await?;
        let status = migrate(&mesh, service, &program(service)?, "status").await?;
        assert!(!status.contains("pending"), "{status}");
        assert!(!status.contains("no rollback"), "{status}");
    }
    Ok(())
}

/// Applies the migrations of a library one by one, rolls them back one by one, and applies them
/// again.
async fn there_and_back(
    mesh: &Mesh,
    pool: &PgPool,
    service: &str,
    library: &str,
    last: i64,
) -> Result<()> {
    let program = program(service)?;
    let mut schemas = Vec::new();
    for version in 0..=last {
        // A service's own migrations follow those of the libraries.
        let of = match library == service {
            true => String::new(),
            false => format!("--library {library}"),
        };
        migrate(mesh, service, &program, &format!("up --to {version} {of}")).await?;
        schemas.push(schema(pool).await?);
    }
    for version in (0..last).rev() {
        migrate(
            mesh,
            service,
            &program,
            &format!("down --library {library}"),
        )
        .await?;
        let now = schema(pool).await?;
        let before = &schemas[usize::try_from(version)?];
        assert_eq!(
            &now, before,
            "{service}: {library} after the rollback to {version}"
        );
    }
    migrate(mesh, service, &program, &format!("up --library {library}")).await?;
    assert_eq!(Some(&schema(pool).await?), schemas.last(), "{library}");
    Ok(())
}

/// Returns the libraries of a service, and itself, with their last versions.
async fn libraries(mesh: &Mesh, service: &str) -> Result<Vec<(String, i64)>> {
    let status = migrate(mesh, service, &program(service)?, "status --json").await?;
    let status: Value = serde_json::from_str(&status)?;
    let libraries = status["libraries"].as_array().into_iter().flatten();
    let libraries = libraries.map(|library| {
        let name = library["library"].as_str().unwrap().to_owned();
        let migrations = library["migrations"].as_array().unwrap();
        let versions = migrations
            .iter()
            .map(|one| one["version"].as_i64().unwrap());
        (name, versions.max().unwrap())
    });
    Ok(libraries.collect())
}

async fn schema(pool: &PgPool) -> Result<String> {
    let text = sqlx::query_scalar(AssertSqlSafe(SCHEMA.to_owned()));
    Ok(text.fetch_one(pool).await?)
}
