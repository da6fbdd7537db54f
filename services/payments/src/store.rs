//! The database of payments: one function is one transaction.

mod books;
mod ledger;

use sqlx::{PgConnection, PgPool};

pub use books::{balance, drift, events, summary};

use crate::{
    error::Error,
    model::{self, Action, Authorization, Command, EventType, LedgerState, Payment, Policy, State},
};

::store::text_enum!(State, EventType);

/// Executes a command once; a repeated command gets the current payment.
pub async fn execute(pool: &PgPool, command: &Command, policy: &Policy) -> Result<Payment, Error> {
    // A concurrent call that claimed the id has committed: the second attempt finds its payment.
    for _ in 0..2 {
        if let Some(payment) = attempt(pool, command, policy).await? {
            return Ok(payment);
        }
    }
    Err(Error::Corrupt("payment"))
}

/// Returns the payment of that id.
pub async fn payment(pool: &PgPool, id: &str) -> Result<Payment, Error> {
    read(&mut *pool.acquire().await?, id)
        .await?
        .ok_or_else(|| Error::UnknownPayment(id.to_owned()))
}

/// Runs one transaction; `None` if a concurrent call claimed the unused id first.
async fn attempt(
    pool: &PgPool,
    command: &Command,
    policy: &Policy,
) -> Result<Option<Payment>, Error> {
    let mut tx = pool.begin().await?;
    let known = load(&mut tx, command).await?;
    let event = model::decide(&known, command, policy)
        .map_err(|refusal| Error::Refused(command.payment_id.clone(), refusal))?;
    let new = known.payment.is_none();
    let payment = model::after(known.payment, &command.payment_id, event.as_ref())
        .ok_or(Error::Corrupt("payment"))?;
    if new && !open(&mut tx, &payment).await? {
        return Ok(None);
    }
    if let Some(event) = &event {
        if !new {
            project(&mut tx, &payment).await?;
        }
        ledger::append(&mut tx, event).await?;
    }
    let method = <&str>::from(&command.action);
    chassis::crash::point(&format!("payments.{method}.before_commit"));
    tx.commit().await?;
    chassis::crash::point(&format!("payments.{method}.after_commit"));
    Ok(Some(payment))
}

/// Locks the account of a command's payment until the transaction ends, and reads the payment.
async fn load(tx: &mut PgConnection, command: &Command) -> Result<LedgerState, Error> {
    let owner = sqlx::query_scalar!(
        "SELECT account_id FROM payment WHERE payment_id = $1",
        command.payment_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(owner) = owner else {
        return Ok(LedgerState::default());
    };
    if let Some(account_id) = owner {
        lock(tx, &account_id).await?;
    }
    // Read after the lock: values from before it may have changed meanwhile.
    let payment = read(tx, &command.payment_id).await?;
    let refund = match &command.action {
        Action::Refund(asked) => ledger::refund(tx, &asked.refund_id).await?,
        _ => None,
    };
    Ok(LedgerState { payment, refund })
}

/// Claims an unused id; returns false if it is in use. A concurrent claim waits here for the
/// other's commit. The account is locked first, as before every change of its payments.
async fn open(tx: &mut PgConnection, payment: &Payment) -> Result<bool, Error> {
    if let Some(asked) = &payment.authorization {
        sqlx::query!(
            "INSERT INTO account (account_id) VALUES ($1) ON CONFLICT DO NOTHING",
            asked.account_id
        )
        .execute(&mut *tx)
        .await?;
        lock(tx, &asked.account_id).await?;
    }
    let asked = payment.authorization.as_ref();
    let inserted = sqlx::query!(
        "INSERT INTO payment (payment_id, account_id, currency_code, amount_minor, effective_at, state, decline_reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        payment.id,
        asked.map(|asked| &asked.account_id),
        asked.map(|asked| &asked.currency_code),
        asked.map(|asked| asked.amount_minor),
        asked.map(|asked| asked.effective_at),
        payment.state as State,
        payment.decline_reason
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes the effect of an event on a payment.
async fn project(tx: &mut PgConnection, payment: &Payment) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE payment SET state = $2, captured_minor = $3, refunded_minor = $4 WHERE payment_id = $1",
        payment.id,
        payment.state as State,
        payment.captured_minor,
        payment.refunded_minor
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn lock(tx: &mut PgConnection, account_id: &str) -> Result<(), Error> {
    sqlx::query!(
        "SELECT account_id FROM account WHERE account_id = $1 FOR UPDATE",
        account_id
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

async fn read(connection: &mut PgConnection, id: &str) -> Result<Option<Payment>, Error> {
    let row = sqlx::query_as!(
        PaymentRow,
        r#"SELECT payment_id, account_id, currency_code, amount_minor, effective_at, state AS "state: State",
                  decline_reason, captured_minor, refunded_minor
           FROM payment WHERE payment_id = $1"#,
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(PaymentRow::payment))
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
