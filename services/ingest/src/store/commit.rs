//! One batch, one transaction: rows, rejections, facts, and the durable length of the file.
//!
//! Uploads share no lock. Two that bring equal rows meet at the constraint that accepts each once,
//! which they reach in the order of hashes; facts of one account are kept in order by the outbox,
//! whose keys every transaction locks in one order (ADR 3).

use std::collections::HashSet;

use ::store::columns;
use events::Facts;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Position, reject};
use crate::{
    convert,
    error::Error,
    model::{
        Batch, Hash, Head, Invoice, Kind, Line, Mapping, PendingRows, RejectedRow, Row, returns,
    },
};

/// Attempts to commit a batch while other uploads accept rows of it first.
pub(super) const ATTEMPTS: usize = 8;

/// A batch after its transaction.
pub(super) enum Attempt {
    /// It is durable; or there was nothing to commit.
    Done(bool),
    /// Another upload has accepted some of its rows meanwhile.
    Overtaken,
}

/// Commits the pending rows of closed invoices, or all of them if the file ends here.
///
/// Accepted and rejected rows, the facts and `received_bytes` change together or not at all; a
/// superseded upload changes nothing. Advances `position` and returns whether it moved.
pub async fn commit(
    pool: &PgPool,
    position: &mut Position,
    pending: &mut PendingRows,
    mapping: &Mapping,
    at_end: bool,
) -> Result<bool, Error> {
    // The returns are published with the file's last byte: the last rows wait for it.
    if !at_end && pending.end() == position.size_bytes {
        return Ok(false);
    }
    for _ in 0..ATTEMPTS {
        match attempt(pool, position, pending, mapping, at_end).await? {
            Attempt::Done(moved) => return Ok(moved),
            Attempt::Overtaken => {}
        }
    }
    Err(Error::UploadOvertaken)
}

async fn attempt(
    pool: &PgPool,
    position: &mut Position,
    pending: &mut PendingRows,
    mapping: &Mapping,
    at_end: bool,
) -> Result<Attempt, Error> {
    let mut tx = pool.begin().await?;
    let closed_invoice = check(&mut tx, position).await?;
    let known = known(&mut tx, &position.source, &pending.hashes()).await?;
    let end = at_end.then_some(position.size_bytes);
    let judgement = pending.judge(&known, closed_invoice.as_deref(), end);
    let accepted = pending.accepted(&judgement);
    if !accept(&mut tx, position.import_id, &position.source, &accepted).await? {
        return Ok(Attempt::Overtaken);
    }
    let mut batch = pending.cut(judgement);
    if batch.offset == position.received_bytes {
        return Ok(Attempt::Done(false));
    }
    let import_id = position.import_id;
    let published = apply(&mut tx, mapping, import_id, &mut batch, at_end).await?;
    move_on(&mut tx, position, &batch, published).await?;
    chassis::crash::point("ingest.upload.before_commit");
    tx.commit().await?;
    chassis::crash::point("ingest.upload.after_commit");
    (position.received_bytes, position.rows_read) = (batch.offset, batch.rows_read);
    Ok(Attempt::Done(true))
}

/// Returns those of the hashes that belong to accepted rows of the source.
pub(super) async fn known(
    tx: &mut PgConnection,
    source: &str,
    hashes: &[&Hash],
) -> Result<HashSet<Hash>, Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_slice()).collect();
    let known = sqlx::query_scalar!(
        "SELECT hash FROM accepted_row WHERE source = $1 AND hash = ANY($2)",
        source,
        &hashes as &[&[u8]]
    )
    .fetch_all(tx)
    .await?;
    Ok(known
        .into_iter()
        .filter_map(|hash| hash.try_into().ok())
        .collect())
}

/// Locks the import; an error if another upload has advanced it. Returns its closed invoice.
async fn check(tx: &mut PgConnection, position: &Position) -> Result<Option<String>, Error> {
    let import = sqlx::query!(
        "SELECT received_bytes, closed_invoice FROM import WHERE import_id = $1 FOR NO KEY UPDATE",
        position.import_id
    )
    .fetch_one(tx)
    .await?;
    if import.received_bytes == position.received_bytes {
        Ok(import.closed_invoice)
    } else {
        Err(Error::UploadSuperseded)
    }
}

/// Inserts the accepted rows; false if one of them was accepted meanwhile. Waits for the commit of
/// an upload that is accepting one.
pub(super) async fn accept(
    tx: &mut PgConnection,
    import_id: Uuid,
    source: &str,
    accepted: &[(i64, &Hash)],
) -> Result<bool, Error> {
    let (numbers, hashes) = columns!(accepted, (number, hash) => *number, hash.as_slice());
    let inserted = sqlx::query!(
        "INSERT INTO accepted_row (import_id, source, row_number, hash)
         SELECT $1, $2, row_number, hash FROM unnest($3::bigint[], $4::bytea[]) AS row (row_number, hash)
         ORDER BY hash ON CONFLICT (source, hash) DO NOTHING",
        import_id,
        source,
        &numbers,
        &hashes as &[&[u8]]
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == accepted.len() as u64)
}

/// Stores the rejected rows and the returns of a batch and publishes its sales, at the end of the
/// import with all returns; returns how many invoices.
pub(super) async fn apply(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    batch: &mut Batch,
    at_end: bool,
) -> Result<usize, Error> {
    let rejected: Vec<_> = batch.rejected.iter().map(RejectedRow::from).collect();
    let rejected: Vec<_> = rejected.iter().map(|row| (import_id, row)).collect();
    reject(&mut *tx, &rejected).await?;
    insert_returns(&mut *tx, import_id, &batch.returns).await?;
    let sales = std::mem::take(&mut batch.sales);
    if at_end {
        publish_last(tx, mapping, import_id, sales).await
    } else {
        publish(tx, mapping, import_id, sales, Vec::new()).await
    }
}

async fn move_on(
    tx: &mut PgConnection,
    position: &Position,
    batch: &Batch,
    published: usize,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE import SET received_bytes = $2, rows_read = $3, closed_invoice = $4, header = $5,
                           invoices_published = invoices_published + $6
         WHERE import_id = $1",
        position.import_id,
        batch.offset,
        batch.rows_read,
        batch.closed_invoice,
        position.header.as_deref(),
        published as i64
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_returns(tx: &mut PgConnection, import_id: Uuid, rows: &[Row]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let (
        numbers,
        accounts,
        guests,
        invoices,
        times,
        skus,
        descriptions,
        quantities,
        prices,
        charges,
    ) = columns!(
        rows,
        row => row.line.row_number,
        row.head.account_id.as_str(),
        row.head.guest,
        row.head.invoice_number.as_str(),
        row.head.time,
        row.line.sku.as_str(),
        row.line.description.as_str(),
        row.line.quantity,
        row.line.unit_price_minor,
        row.line.charge,
    );
    sqlx::query!(
        "INSERT INTO return_row (import_id, row_number, account_id, guest, invoice_number, returned_at,
                                 sku, description, quantity, unit_price_minor, charge)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::boolean[], $5::text[], $6::timestamp[], $7::text[],
                                  $8::text[], $9::bigint[], $10::bigint[], $11::boolean[])",
        import_id,
        &numbers,
        &accounts as &[&str],
        &guests,
        &invoices as &[&str],
        &times,
        &skus as &[&str],
        &descriptions as &[&str],
        &quantities,
        &prices,
        &charges
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Publishes the last sales of the import and all its waiting returns, page by page; returns how
/// many invoices.
///
/// A page has the accounts after those of the page before, and brings the sales of its accounts:
/// the transaction locks accounts in order.
async fn publish_last(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    mut sales: Vec<Invoice>,
) -> Result<usize, Error> {
    sales.sort_by(|left, right| left.head.account_id.cmp(&right.head.account_id));
    let mut published = 0;
    loop {
        let page = returns::group(waiting_returns(tx, import_id).await?);
        let Some(last) = page.last().map(|invoice| &invoice.head.account_id) else {
            return Ok(published + publish(tx, mapping, import_id, sales, page).await?);
        };
        let later = sales.partition_point(|sale| sale.head.account_id <= *last);
        let later = sales.split_off(later);
        let numbers: Vec<i64> = page
            .iter()
            .flat_map(|invoice| &invoice.lines)
            .map(|line| line.row_number)
            .collect();
        published += publish(tx, mapping, import_id, sales, page).await?;
        sales = later;
        sqlx::query!(
            "DELETE FROM return_row WHERE import_id = $1 AND row_number = ANY($2)",
            import_id,
            &numbers
        )
        .execute(&mut *tx)
        .await?;
    }
}

/// Publishes sales, and returns after them; returns how many.
async fn publish(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    sales: Vec<Invoice>,
    returns: Vec<Invoice>,
) -> Result<usize, Error> {
    let published = sales.len() + returns.len();
    insert_invoices(tx, import_id, sales.iter().chain(&returns)).await?;
    let mut facts = Facts::new();
    for sale in sales {
        facts.add(&convert::sale(mapping, import_id, sale))?;
    }
    for invoice in returns {
        facts.add(&convert::returned(mapping, import_id, invoice))?;
    }
    facts.publish(tx).await?;
    Ok(published)
}

async fn waiting_returns(
    tx: &mut PgConnection,
    import_id: Uuid,
) -> Result<Vec<(Head, Line)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT row_number, account_id, guest, invoice_number, returned_at, sku, description, quantity,
                  unit_price_minor, charge
           FROM return_row WHERE import_id = $1
           ORDER BY account_id COLLATE "C", returned_at, invoice_number, row_number LIMIT $2"#,
        import_id,
        returns::PAGE_ROWS as i64
    )
    .fetch_all(tx)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let head = Head {
            kind: Kind::Return,
            invoice_number: row.invoice_number,
            account_id: row.account_id,
            guest: row.guest,
            time: row.returned_at,
        };
        let line = Line {
            row_number: row.row_number,
            sku: row.sku,
            description: row.description,
            quantity: row.quantity,
            unit_price_minor: row.unit_price_minor,
            charge: row.charge,
        };
        (head, line)
    });
    Ok(rows.collect())
}

async fn insert_invoices<'a>(
    tx: &mut PgConnection,
    import_id: Uuid,
    invoices: impl Iterator<Item = &'a Invoice>,
) -> Result<(), Error> {
    let invoices: Vec<_> = invoices.collect();
    if invoices.is_empty() {
        return Ok(());
    }
    let (first, last, numbers) = columns!(
        invoices,
        invoice => invoice.rows().0,
        invoice.rows().1,
        invoice.head.invoice_number.as_str(),
    );
    sqlx::query!(
        "INSERT INTO invoice (import_id, first_row_number, last_row_number, invoice_number)
         SELECT $1, first, last, number
         FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS invoice (first, last, number)",
        import_id,
        &first,
        &last,
        &numbers as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}
