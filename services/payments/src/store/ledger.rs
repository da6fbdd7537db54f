//! The events of the accounts and their postings: appended, read, never changed.

use std::collections::{BTreeSet, HashMap};

use ::store::columns;
use sqlx::PgConnection;

use crate::{
    error::Error,
    model::{Event, EventType, Kind},
};

/// Adds events to the histories of their accounts, whose rows the transaction has locked; false if
/// a concurrent transaction used a `refund_id` first: refunds of two accounts lock different rows.
pub(super) async fn append(tx: &mut PgConnection, events: &[Event]) -> Result<bool, Error> {
    if events.is_empty() {
        return Ok(true);
    }
    let mut versions = versions(tx, events).await?;
    let mut next = |account_id: &str| {
        let version = versions.entry(account_id.to_owned()).or_default();
        *version += 1;
        *version
    };
    let numbered: Vec<_> = events
        .iter()
        .map(|event| (next(&event.account_id), event))
        .collect();
    match insert_events(tx, &numbered).await {
        Err(error) if is_duplicate_refund(&error) => return Ok(false),
        other => other?,
    }
    insert_postings(tx, &numbered).await?;
    Ok(true)
}

async fn versions(
    tx: &mut PgConnection,
    events: &[Event],
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let accounts: BTreeSet<&str> = events
        .iter()
        .map(|event| event.account_id.as_str())
        .collect();
    let accounts: Vec<_> = accounts.into_iter().collect();
    let rows = sqlx::query!(
        r#"SELECT account_id AS "account_id!",
                  coalesce((SELECT max(version) FROM ledger_event WHERE ledger_event.account_id = account.account_id), 0)
                      AS "version!"
           FROM unnest($1::text[]) AS account (account_id)"#,
        &accounts as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.account_id, row.version))
        .collect())
}

async fn insert_events(tx: &mut PgConnection, events: &[(i64, &Event)]) -> Result<(), sqlx::Error> {
    let (accounts, versions, types, payments, refunds, reasons, amounts, currencies, times) = columns!(
        events,
        (version, event) => event.account_id.as_str(),
        *version,
        <&str>::from(EventType::from(&event.kind)),
        event.payment_id.as_str(),
        event.kind.refund_id(),
        event.kind.reason(),
        event.amount_minor,
        event.currency_code.as_str(),
        event.effective_at,
    );
    sqlx::query!(
        "INSERT INTO ledger_event (account_id, version, type, payment_id, refund_id, decline_reason, amount_minor,
                                   currency_code, effective_at)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                              $8::text[], $9::timestamp[])",
        &accounts as &[&str],
        &versions,
        &types as &[&str],
        &payments as &[&str],
        &refunds as &[Option<&str>],
        &reasons as &[Option<&str>],
        &amounts,
        &currencies as &[&str],
        &times
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_postings(
    tx: &mut PgConnection,
    events: &[(i64, &Event)],
) -> Result<(), sqlx::Error> {
    let postings: Vec<_> = events
        .iter()
        .flat_map(|(version, event)| {
            let postings = event.postings().into_iter();
            postings.map(move |posting| (&event.account_id, *version, posting))
        })
        .collect();
    let (accounts, versions, ledger_accounts, amounts) = columns!(
        postings,
        (account_id, version, posting) => account_id.as_str(),
        *version,
        <&str>::from(posting.ledger_account),
        posting.amount_minor,
    );
    sqlx::query!(
        "INSERT INTO posting (account_id, version, ledger_account, amount_minor)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])",
        &accounts as &[&str],
        &versions,
        &ledger_accounts as &[&str],
        &amounts
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the events of refunds, whichever payments they belong to.
pub(super) async fn refunds(tx: &mut PgConnection, ids: &[&str]) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"SELECT account_id, version, type AS "type: EventType", payment_id, refund_id, decline_reason,
                  amount_minor, currency_code, effective_at
           FROM ledger_event WHERE refund_id = ANY($1)"#,
        ids as &[&str]
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| row.event().map(|(_, event)| event))
        .collect()
}

/// Returns the events of an account after version `after`, in order, each with its version; no
/// limit means all.
pub(super) async fn history(
    connection: &mut PgConnection,
    account_id: &str,
    after: i64,
    limit: Option<i64>,
) -> Result<Vec<(i64, Event)>, Error> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"SELECT account_id, version, type AS "type: EventType", payment_id, refund_id, decline_reason,
                  amount_minor, currency_code, effective_at
           FROM ledger_event WHERE account_id = $1 AND version > $2 ORDER BY version LIMIT $3"#,
        account_id,
        after,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(EventRow::event).collect()
}

/// A row of `ledger_event`.
struct EventRow {
    account_id: String,
    version: i64,
    r#type: EventType,
    payment_id: String,
    refund_id: Option<String>,
    decline_reason: Option<String>,
    amount_minor: i64,
    currency_code: String,
    effective_at: chrono::NaiveDateTime,
}

impl EventRow {
    /// Returns the event and its version.
    fn event(self) -> Result<(i64, Event), Error> {
        let kind = Kind::of(self.r#type, self.decline_reason, self.refund_id)
            .ok_or(Error::Corrupt("ledger_event.type"))?;
        let event = Event {
            payment_id: self.payment_id,
            account_id: self.account_id,
            currency_code: self.currency_code,
            kind,
            amount_minor: self.amount_minor,
            effective_at: self.effective_at,
        };
        Ok((self.version, event))
    }
}

fn is_duplicate_refund(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.and_then(|error| error.constraint()) == Some("ledger_event_refund_once")
}
