//! The audit: a row for each act of an operator, written before the act and completed after it.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::error::Error;

/// The migrations of the schema `desk` in a service's database, for `store::Database::open`.
///
/// They keep their own record in that schema and touch nothing outside of it.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// An act that is about to begin.
#[derive(Debug)]
pub(crate) struct Intent<'a> {
    /// Name of the operator's token.
    pub(crate) operator: &'a str,
    pub(crate) action: Action,
    /// The consumer, the context, or the saga.
    pub(crate) scope: &'a str,
    pub(crate) key: &'a str,
    /// The version, the decision or the step.
    pub(crate) detail: String,
    pub(crate) reason: &'a str,
}

/// The kind of an act.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Rehearse,
    Replay,
    Discard,
    Skip,
    Resume,
    GiveUp,
    Rebuild,
    Read,
}

/// A recorded act.
#[derive(Debug)]
pub(crate) struct ActRow {
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) operator: String,
    pub(crate) action: String,
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) detail: String,
    pub(crate) reason: String,
    pub(crate) outcome: Option<String>,
}

/// Records `intent`, does `work`, and records what came of it.
pub(crate) async fn record<T>(
    pool: &PgPool,
    intent: &Intent<'_>,
    work: impl Future<Output = Result<T, Error>>,
    describe: impl FnOnce(&T) -> String,
) -> Result<T, Error> {
    let id = begin(pool, intent).await?;
    let done = work.await;
    let outcome = match &done {
        Ok(result) => describe(result),
        Err(error) => format!("failed: {error}"),
    };
    tracing::info!(
        operator = intent.operator,
        action = intent.action.name(),
        scope = intent.scope,
        key = intent.key,
        detail = intent.detail,
        reason = intent.reason,
        outcome,
        "operator acted"
    );
    end(pool, id, &outcome).await?;
    done
}

/// Returns the latest acts, at most `limit`.
pub(crate) async fn list(pool: &PgPool, limit: u32) -> Result<Vec<ActRow>, sqlx::Error> {
    sqlx::query_as!(
        ActRow,
        "SELECT begun_at, operator, action, scope, key, detail, reason, outcome
         FROM desk.act ORDER BY id DESC LIMIT $1",
        i64::from(limit),
    )
    .fetch_all(pool)
    .await
}

async fn begin(pool: &PgPool, intent: &Intent<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO desk.act (operator, action, scope, key, detail, reason)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        intent.operator,
        intent.action.name(),
        intent.scope,
        intent.key,
        intent.detail,
        intent.reason,
    )
    .fetch_one(pool)
    .await
}

async fn end(pool: &PgPool, id: i64, outcome: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE desk.act SET outcome = $2 WHERE id = $1",
        id,
        // Postgres text holds no NUL, and an error may quote anything.
        outcome.replace('\0', "\u{fffd}"),
    )
    .execute(pool)
    .await?;
    Ok(())
}

// === impl Action ===

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Rehearse => "rehearse",
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Skip => "skip",
            Self::Resume => "resume",
            Self::GiveUp => "give_up",
            Self::Rebuild => "rebuild",
            Self::Read => "read",
        }
    }
}
