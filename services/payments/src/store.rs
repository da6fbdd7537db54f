//! The database of payments: one function is one transaction.

mod books;
mod ledger;

use std::collections::{BTreeSet, HashMap};

use ::store::columns;
use eventsourcing::Root;
use sqlx::{PgConnection, PgPool};

pub use books::{balance, drift, events, summary};

use crate::{
    error::Error,
    model::{Action, Authorization, Book, Command, EventType, Payment, Policy, State},
};

::store::text_enum!(State, EventType);

/// Attempts of a batch whose ids concurrent calls claim first; each finds those of the one before.
const ATTEMPTS: u32 = 4;

/// The result of each command of a batch, in their order.
pub type Results = Vec<Result<Payment, Error>>;

/// Executes commands in their order, each once, in one transaction; a repeated command gets the
/// current payment.
pub async fn execute(
    pool: &PgPool,
    commands: &[Command],
    policy: &Policy,
) -> Result<Results, Error> {
    // A concurrent call that claimed an id has committed: the next attempt finds its payment.
    for _ in 0..ATTEMPTS {
        if let Some(results) = attempt(pool, commands, policy).await? {
            return Ok(results);
        }
    }
    Err(Error::Contended)
}

/// Returns the payment of that id.
pub async fn payment(pool: &PgPool, id: &str) -> Result<Payment, Error> {
    read(&mut *pool.acquire().await?, &[id])
        .await?
        .pop()
        .ok_or_else(|| Error::UnknownPayment(id.to_owned()))
}

/// Runs one transaction; `None` if a concurrent call claimed an unused id first.
async fn attempt(
    pool: &PgPool,
    commands: &[Command],
    policy: &Policy,
) -> Result<Option<Results>, Error> {
    let mut tx = pool.begin().await?;
    let Some(results) = execute_in(&mut tx, commands, policy).await? else {
        return Ok(None);
    };
    let method = commands
        .first()
        .map_or("", |command| (&command.action).into());
    chassis::crash::point(&format!("payments.{method}.before_commit"));
    tx.commit().await?;
    chassis::crash::point(&format!("payments.{method}.after_commit"));
    Ok(Some(results))
}

/// Executes commands in the caller's transaction; `None` if a concurrent call claimed an unused id
/// first: then nothing of the transaction may be committed.
pub async fn execute_in(
    tx: &mut PgConnection,
    commands: &[Command],
    policy: &Policy,
) -> Result<Option<Results>, Error> {
    let Some(mut book) = load(tx, commands, policy).await? else {
        return Ok(None);
    };
    let mut results = Vec::with_capacity(commands.len());
    for command in commands {
        let result = book.execute(command, policy)?;
        results.push(result.map_err(|refusal| Error::Refused(command.payment_id.clone(), refusal)));
    }
    let (opened, changed) = (book.opened(), book.changed());
    match eventsourcing::append(tx, book.payments()).await {
        Err(eventsourcing::Error::Conflict { .. }) => return Ok(None),
        other => other?,
    };
    // Payments, entries and postings follow from the events, in their transaction.
    open(tx, &opened).await?;
    project(tx, &changed).await?;
    if !ledger::append(tx, book.entries()).await? {
        return Ok(None);
    }
    Ok(Some(results))
}

/// Locks the accounts of the commands' payments until the transaction ends, and loads the payments;
/// `None` if one was created meanwhile, whose account is not locked.
async fn load(
    tx: &mut PgConnection,
    commands: &[Command],
    policy: &Policy,
) -> Result<Option<Book>, Error> {
    let ids: Vec<_> = commands
        .iter()
        .map(|command| command.payment_id.as_str())
        .collect();
    let owners = owners(tx, &ids).await?;
    let is_known = |id: &str| owners.contains_key(id);
    let new = commands.iter().filter_map(|command| match &command.action {
        Action::Authorize(asked)
            if asked.currency_code == policy.currency_code && !is_known(&command.payment_id) =>
        {
            Some(asked.account_id.as_str())
        }
        _ => None,
    });
    let known = owners.values().flatten().map(String::as_str);
    lock(tx, new.collect(), known.collect()).await?;
    // After the lock: no event is appended meanwhile.
    let payments = eventsourcing::load::<Payment>(tx, &ids).await?;
    let is_new = |payment: &Root<Payment>| payment.version() > 0 && !is_known(payment.id());
    if payments.values().any(is_new) {
        return Ok(None);
    }
    let refunds: Vec<_> = commands
        .iter()
        .filter_map(|command| match &command.action {
            Action::Refund(asked) => Some(asked.refund_id.as_str()),
            _ => None,
        })
        .collect();
    let refunds = if refunds.is_empty() {
        Vec::new()
    } else {
        ledger::refunds(tx, &refunds).await?
    };
    Ok(Some(Book::new(payments, refunds)))
}

/// Returns the accounts of known payments, by payment; none for an id that was closed before it was
/// authorized.
async fn owners(
    tx: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, Option<String>>, Error> {
    let rows = sqlx::query!(
        "SELECT payment_id, account_id FROM payment WHERE payment_id = ANY($1)",
        ids as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.payment_id, row.account_id))
        .collect())
}

/// Writes payments whose ids were unused.
async fn open(tx: &mut PgConnection, payments: &[Payment]) -> Result<(), Error> {
    if payments.is_empty() {
        return Ok(());
    }
    let asked = |payment: &Payment| payment.authorization.clone();
    let (ids, accounts, currencies, amounts, times, states, reasons, captured, refunded) = columns!(
        payments,
        payment => payment.id.as_str(),
        asked(payment).map(|asked| asked.account_id),
        asked(payment).map(|asked| asked.currency_code),
        asked(payment).map(|asked| asked.amount_minor),
        asked(payment).map(|asked| asked.effective_at),
        <&str>::from(payment.state),
        payment.decline_reason.as_deref(),
        payment.captured_minor,
        payment.refunded_minor,
    );
    sqlx::query!(
        "INSERT INTO payment (payment_id, account_id, currency_code, amount_minor, effective_at, state, decline_reason,
                              captured_minor, refunded_minor)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamp[], $6::text[],
                              $7::text[], $8::bigint[], $9::bigint[])",
        &ids as &[&str],
        &accounts as &[Option<String>],
        &currencies as &[Option<String>],
        &amounts as &[Option<i64>],
        &times as &[Option<chrono::NaiveDateTime>],
        &states as &[&str],
        &reasons as &[Option<&str>],
        &captured,
        &refunded
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the effects of events on known payments.
async fn project(tx: &mut PgConnection, payments: &[Payment]) -> Result<(), Error> {
    if payments.is_empty() {
        return Ok(());
    }
    let (ids, states, captured, refunded) = columns!(
        payments,
        payment => payment.id.as_str(),
        <&str>::from(payment.state),
        payment.captured_minor,
        payment.refunded_minor,
    );
    sqlx::query!(
        "UPDATE payment SET state = new.state, captured_minor = new.captured_minor, refunded_minor = new.refunded_minor
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
              AS new (payment_id, state, captured_minor, refunded_minor)
         WHERE payment.payment_id = new.payment_id",
        &ids as &[&str],
        &states as &[&str],
        &captured,
        &refunded
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Creates the `new` accounts and locks them and the `known` ones, in one order everywhere.
async fn lock(
    tx: &mut PgConnection,
    new: BTreeSet<&str>,
    known: BTreeSet<&str>,
) -> Result<(), Error> {
    let all: Vec<_> = new.union(&known).copied().collect();
    let new: Vec<_> = new.into_iter().collect();
    if !new.is_empty() {
        sqlx::query!(
            "INSERT INTO account (account_id) SELECT id FROM unnest($1::text[]) AS new (id) ORDER BY id
             ON CONFLICT DO NOTHING",
            &new as &[&str]
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!(
        "SELECT account_id FROM account WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE",
        &all as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

async fn read(connection: &mut PgConnection, ids: &[&str]) -> Result<Vec<Payment>, Error> {
    let rows = sqlx::query_as!(
        PaymentRow,
        r#"SELECT payment_id, account_id, currency_code, amount_minor, effective_at, state AS "state: State",
                  decline_reason, captured_minor, refunded_minor
           FROM payment WHERE payment_id = ANY($1)"#,
        ids as &[&str]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(PaymentRow::payment).collect())
}

/// A row of `payment`.
struct PaymentRow {
    payment_id: String,
    account_id: Option<String>,
    currency_code: Option<String>,
    amount_minor: Option<i64>,
    effective_at: Option<chrono::NaiveDateTime>,
    state: State,
    decline_reason: Option<String>,
    captured_minor: i64,
    refunded_minor: i64,
}

impl PaymentRow {
    fn payment(self) -> Payment {
        Payment {
            authorization: self.authorization(),
            id: self.payment_id,
            state: self.state,
            decline_reason: self.decline_reason,
            captured_minor: self.captured_minor,
            refunded_minor: self.refunded_minor,
        }
    }

    fn authorization(&self) -> Option<Authorization> {
        Some(Authorization {
            account_id: self.account_id.clone()?,
            currency_code: self.currency_code.clone()?,
            amount_minor: self.amount_minor?,
            effective_at: self.effective_at?,
        })
    }
}
