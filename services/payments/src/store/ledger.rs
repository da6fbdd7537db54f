//! The events of the accounts and their postings: appended, read, never changed.

use ::store::columns;
use sqlx::PgConnection;

use crate::{
    error::Error,
    model::{Event, EventType, Kind, Refusal},
};

/// Adds an event to the history of its account, whose row the transaction has locked.
pub(super) async fn append(tx: &mut PgConnection, event: &Event) -> Result<(), Error> {
    let version = sqlx::query_scalar!(
        "INSERT INTO ledger_event (account_id, version, type, payment_id, refund_id, decline_reason, amount_minor,
                                   currency_code, effective_at)
         SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8 FROM ledger_event WHERE account_id = $1
         RETURNING version",
        event.account_id,
        EventType::from(&event.kind) as EventType,
        event.payment_id,
        event.kind.refund_id(),
        event.kind.reason(),
        event.amount_minor,
        event.currency_code,
        event.effective_at
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(|error| map_duplicate_refund(error, event))?;
    let (accounts, amounts) = columns!(
        event.postings(),
        posting => <&str>::from(posting.ledger_account),
        posting.amount_minor,
    );
    sqlx::query!(
        "INSERT INTO posting (account_id, version, ledger_account, amount_minor)
         SELECT $1, $2, ledger_account, amount_minor
         FROM unnest($3::text[], $4::bigint[]) AS side (ledger_account, amount_minor)",
        event.account_id,
        version,
        &accounts as &[&str],
        &amounts
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the event of a refund, whichever payment it belongs to.
pub(super) async fn refund(tx: &mut PgConnection, refund_id: &str) -> Result<Option<Event>, Error> {
    let row = sqlx::query_as!(
        EventRow,
        r#"SELECT account_id, version, type AS "type: EventType", payment_id, refund_id, decline_reason,
                  amount_minor, currency_code, effective_at
           FROM ledger_event WHERE refund_id = $1"#,
        refund_id
    )
    .fetch_optional(tx)
    .await?;
    row.map(|row| row.event().map(|(_, event)| event))
        .transpose()
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

/// Turns a duplicate refund id into a refusal: refunds of two accounts lock different rows and can
/// race for one id.
fn map_duplicate_refund(error: sqlx::Error, event: &Event) -> Error {
    let constraint = error
        .as_database_error()
        .and_then(|error| error.constraint());
    if constraint == Some("ledger_event_refund_once") {
        return Error::Refused(event.payment_id.clone(), Refusal::RefundChanged);
    }
    error.into()
}
