//! The events of the accounts and their postings: appended, read, never changed.

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
    match insert(tx, events).await {
        Err(error) if is_duplicate_refund(&error) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Numbers events by account, and inserts them with their postings, by one statement.
async fn insert(tx: &mut PgConnection, events: &[Event]) -> Result<(), sqlx::Error> {
    let (accounts, types, payments, refunds, reasons, amounts, currencies, times) = columns!(
        events,
        event => event.account_id.as_str(),
        <&str>::from(EventType::from(&event.kind)),
        event.payment_id.as_str(),
        event.kind.refund_id(),
        event.kind.reason(),
        event.amount_minor,
        event.currency_code.as_str(),
        event.effective_at,
    );
    // As `WITH ORDINALITY` counts them.
    let numbered = events.iter().zip(1_i64..);
    let postings: Vec<_> = numbered
        .flat_map(|(event, number)| {
            let postings = event.postings().into_iter();
            postings.map(move |posting| (number, posting))
        })
        .collect();
    let (numbers, ledger_accounts, sides) = columns!(
        postings,
        (number, posting) => *number,
        <&str>::from(posting.ledger_account),
        posting.amount_minor,
    );
    sqlx::query!(
        "WITH new AS (
             SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY number)
                       + coalesce((SELECT max(version) FROM ledger_event WHERE ledger_event.account_id = given.account_id), 0)
                       AS version
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                         $8::timestamp[]) WITH ORDINALITY
                  AS given (account_id, type, payment_id, refund_id, decline_reason, amount_minor, currency_code,
                            effective_at, number)
         ), entry AS (
             INSERT INTO ledger_event (account_id, version, type, payment_id, refund_id, decline_reason, amount_minor,
                                       currency_code, effective_at)
             SELECT account_id, version, type, payment_id, refund_id, decline_reason, amount_minor, currency_code,
                    effective_at
             FROM new ORDER BY number
         )
         INSERT INTO posting (account_id, version, ledger_account, amount_minor)
         SELECT account_id, version, ledger_account, side
         FROM unnest($9::bigint[], $10::text[], $11::bigint[]) AS posted (number, ledger_account, side)
              JOIN new USING (number)",
        &accounts as &[&str],
        &types as &[&str],
        &payments as &[&str],
        &refunds as &[Option<&str>],
        &reasons as &[Option<&str>],
        &amounts,
        &currencies as &[&str],
        &times,
        &numbers,
        &ledger_accounts as &[&str],
        &sides
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
