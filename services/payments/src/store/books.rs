//! Reads of the ledger: balances, histories, totals, and the check of the projection.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use sqlx::{PgConnection, PgPool};

use super::ledger;
use crate::{
    error::Error,
    model::{self, Balance, Day, Event, Payment, State, Summary},
};

/// Returns the balance in one currency of all events, or of those dated at or before `as_of`.
pub async fn balance(
    pool: &PgPool,
    account_id: &str,
    currency_code: &str,
    as_of: Option<NaiveDateTime>,
) -> Result<Balance, Error> {
    let mut connection = pool.acquire().await?;
    must_exist(&mut connection, account_id).await?;
    Ok(sqlx::query_as!(
        Balance,
        r#"SELECT coalesce(sum(posting.amount_minor) FILTER (WHERE ledger_account = 'HOLDS'), 0)::bigint
                    AS "held_minor!",
                  coalesce(sum(posting.amount_minor) FILTER (WHERE ledger_account = 'CASH'), 0)::bigint
                    AS "paid_minor!"
           FROM posting JOIN ledger_event USING (account_id, version)
           WHERE account_id = $1 AND currency_code = $2 AND ($3::timestamp IS NULL OR effective_at <= $3)"#,
        account_id,
        currency_code,
        as_of
    )
    .fetch_one(&mut *connection)
    .await?)
}

/// Returns up to `limit` events of an account that come after version `after`, in order, each with
/// its version.
pub async fn events(
    pool: &PgPool,
    account_id: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Event)>, Error> {
    let mut connection = pool.acquire().await?;
    must_exist(&mut connection, account_id).await?;
    ledger::history(&mut connection, account_id, after, Some(limit)).await
}

/// Returns the amounts of one currency by day, and the sum of the postings in all currencies.
pub async fn summary(pool: &PgPool, currency_code: &str) -> Result<Summary, Error> {
    let rows = sqlx::query!(
        r#"SELECT effective_at::date AS "date!",
                  coalesce(-sum(posting.amount_minor)
                    FILTER (WHERE ledger_account = 'REVENUE' AND currency_code = $1), 0)::bigint AS "captured_minor!",
                  coalesce(sum(posting.amount_minor)
                    FILTER (WHERE ledger_account = 'REFUNDS' AND currency_code = $1), 0)::bigint AS "refunded_minor!",
                  sum(posting.amount_minor)::bigint AS "ledger_sum_minor!"
           FROM posting JOIN ledger_event USING (account_id, version) GROUP BY 1 ORDER BY 1"#,
        currency_code
    )
    .fetch_all(pool)
    .await?;
    let ledger_sum_minor = rows.iter().map(|row| row.ledger_sum_minor).sum();
    let days = rows.into_iter().map(|row| Day {
        date: row.date,
        captured_minor: row.captured_minor,
        refunded_minor: row.refunded_minor,
    });
    Ok(Summary {
        ledger_sum_minor,
        days: days
            .filter(|day| day.captured_minor != 0 || day.refunded_minor != 0)
            .collect(),
    })
}

/// Returns the ids of an account's payments that differ from their events or from the entries of
/// the ledger: none, unless something else wrote to the database.
pub async fn drift(pool: &PgPool, account_id: &str) -> Result<Vec<String>, Error> {
    let mut tx = pool.begin().await?;
    super::lock(&mut tx, BTreeSet::new(), BTreeSet::from([account_id])).await?;
    let projected = projected(&mut tx, account_id).await?;
    let events = ledger::history(&mut tx, account_id, 0, None).await?;
    let replayed = model::replay(events.iter().map(|(_, event)| event))
        .ok_or(Error::Corrupt("ledger_event"))?;
    let ids: BTreeSet<_> = projected.keys().chain(replayed.keys()).collect();
    let ids: Vec<_> = ids.into_iter().map(String::as_str).collect();
    let roots = eventsourcing::load::<Payment>(&mut tx, &ids).await?;
    let differs = |id: &&str| {
        let payment = projected.get(*id);
        let root = roots.get(*id).and_then(|root| root.state());
        payment != replayed.get(*id) || payment != root
    };
    Ok(ids.into_iter().filter(differs).map(str::to_owned).collect())
}

async fn projected(
    tx: &mut PgConnection,
    account_id: &str,
) -> Result<BTreeMap<String, Payment>, Error> {
    let rows = sqlx::query_as!(
        super::PaymentRow,
        r#"SELECT payment_id, account_id, currency_code, amount_minor, effective_at, state AS "state: State",
                  decline_reason, captured_minor, refunded_minor
           FROM payment WHERE account_id = $1"#,
        account_id
    )
    .fetch_all(tx)
    .await?;
    let payments = rows.into_iter().map(super::PaymentRow::payment);
    Ok(payments
        .map(|payment| (payment.id.clone(), payment))
        .collect())
}

async fn must_exist(connection: &mut PgConnection, account_id: &str) -> Result<(), Error> {
    sqlx::query_scalar!(
        "SELECT account_id FROM account WHERE account_id = $1",
        account_id
    )
    .fetch_optional(connection)
    .await?
    .ok_or(Error::UnknownAccount)?;
    Ok(())
}
