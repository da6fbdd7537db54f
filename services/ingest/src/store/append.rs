//! Rows that a client appends: one call, one transaction. The rows of the open invoice stay with
//! the import, and are decided with those that follow.

use prost::Message as _;
use protos::ingest::v1::AppendRowsRequest;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::commit::{ATTEMPTS, Attempt, accept, apply, known};
use crate::{
    error::Error,
    model::{self, APPENDED, AppendedRow, Batch, Mapping, PendingRows, append::missing},
};

/// The durable state of an import whose rows are appended.
struct State {
    import_id: Uuid,
    rows_read: i64,
    closed_invoice: Option<String>,
    is_ended: bool,
    open: Vec<AppendedRow>,
}

/// Appends rows to the import of a unit; `ends` says that none follows. Returns the import, and
/// whether it changed.
///
/// Rows that it has already are ignored. The others are accepted or rejected as those of a file;
/// the last invoice waits for the next call.
pub async fn append(
    pool: &PgPool,
    mapping: &Mapping,
    unit: &str,
    rows: &[AppendedRow],
    ends: bool,
) -> Result<(Uuid, bool), Error> {
    let import_id = begin(pool, mapping.source(), unit).await?;
    for _ in 0..ATTEMPTS {
        match attempt(pool, mapping, import_id, rows, ends).await? {
            Attempt::Done(changed) => return Ok((import_id, changed)),
            Attempt::Overtaken => {}
        }
    }
    Err(Error::UploadOvertaken)
}

/// Creates the import, unless a call did before.
async fn begin(pool: &PgPool, source: &str, unit: &str) -> Result<Uuid, Error> {
    let request_id = format!("{APPENDED}{unit}");
    let import_id = model::import_id(source, &request_id);
    sqlx::query!(
        "INSERT INTO import (import_id, source, request_id, file_name)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        import_id,
        source,
        request_id,
        unit
    )
    .execute(pool)
    .await?;
    Ok(import_id)
}

async fn attempt(
    pool: &PgPool,
    mapping: &Mapping,
    import_id: Uuid,
    rows: &[AppendedRow],
    ends: bool,
) -> Result<Attempt, Error> {
    let mut tx = pool.begin().await?;
    let state = lock(&mut tx, import_id).await?;
    let last = state.open.last().map_or(state.rows_read, |row| row.number);
    let fresh = &rows[rows.partition_point(|row| row.number <= last)..];
    if fresh.is_empty() && (state.is_ended || !ends) {
        return Ok(Attempt::Done(false));
    }
    if state.is_ended {
        return Err(Error::ImportEnded(last));
    }
    let rows = [&state.open, fresh].concat();
    let mut pending = PendingRows::appended(mapping, state.rows_read, &rows);
    let known = known(&mut tx, mapping.source(), &pending.hashes()).await?;
    let judgement = pending.judge(
        &known,
        state.closed_invoice.as_deref(),
        ends.then_some(pending.end()),
    );
    let accepted = pending.accepted(&judgement);
    if !accept(&mut tx, import_id, mapping.source(), &accepted).await? {
        return Ok(Attempt::Overtaken);
    }
    let mut batch = pending.cut(judgement);
    let published = apply(&mut tx, mapping, import_id, &mut batch, ends).await?;
    move_on(&mut tx, &state, &batch, &rows, ends, published).await?;
    chassis::crash::point("ingest.append.before_commit");
    tx.commit().await?;
    chassis::crash::point("ingest.append.after_commit");
    Ok(Attempt::Done(true))
}

async fn lock(tx: &mut PgConnection, import_id: Uuid) -> Result<State, Error> {
    let import = sqlx::query!(
        "SELECT rows_read, closed_invoice, is_ended, open_rows FROM import WHERE import_id = $1
         FOR NO KEY UPDATE",
        import_id
    )
    .fetch_one(tx)
    .await?;
    let open = import.open_rows.unwrap_or_default();
    let open = AppendRowsRequest::decode(open.as_slice()).map_err(Error::OpenRows)?;
    Ok(State {
        import_id,
        rows_read: import.rows_read,
        closed_invoice: import.closed_invoice,
        is_ended: import.is_ended,
        open: open.rows.into_iter().map(Into::into).collect(),
    })
}

async fn move_on(
    tx: &mut PgConnection,
    state: &State,
    batch: &Batch,
    rows: &[AppendedRow],
    ends: bool,
    published: usize,
) -> Result<(), Error> {
    let (done, open) = rows.split_at(rows.partition_point(|row| row.number <= batch.rows_read));
    let open_rows = AppendRowsRequest {
        rows: open.iter().cloned().map(Into::into).collect(),
        ..AppendRowsRequest::default()
    };
    sqlx::query!(
        "UPDATE import SET rows_read = $2, rows_missing = rows_missing + $3, closed_invoice = $4, is_ended = $5,
                           open_rows = $6, invoices_published = invoices_published + $7
         WHERE import_id = $1",
        state.import_id,
        batch.rows_read,
        missing(state.rows_read, done),
        batch.closed_invoice,
        ends,
        (!open.is_empty()).then(|| open_rows.encode_to_vec()),
        published as i64
    )
    .execute(tx)
    .await?;
    Ok(())
}
