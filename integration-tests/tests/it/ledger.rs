//! The ledger's invariants hold in the database, under concurrent calls and against wrong
//! statements.

use anyhow::{Context, Result};
use chrono::{NaiveDate, NaiveDateTime};
use integration_tests::Mesh;
use payments::{
    error::Error,
    model::{Action, Authorization, Command, Payment, Policy, Refund, Refusal, State},
    store,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;

/// An authorized payment `p` of account `a` as versions 1 and 2, captured; and `q`, authorized as
/// version 3.
const HISTORY: &str = "
    INSERT INTO account VALUES ('a');
    INSERT INTO payment (payment_id, account_id, currency_code, amount_minor, effective_at, state)
        VALUES ('p', 'a', 'GBP', 10, '2010-12-01', 'AUTHORIZED'), ('q', 'a', 'GBP', 10, '2010-12-01', 'AUTHORIZED');
    UPDATE payment SET state = 'CAPTURED', captured_minor = 10 WHERE payment_id = 'p';
    INSERT INTO ledger_event (account_id, version, type, payment_id, amount_minor, currency_code, effective_at) VALUES
        ('a', 1, 'AUTHORIZED', 'p', 10, 'GBP', '2010-12-01'), ('a', 2, 'CAPTURED', 'p', 10, 'GBP', '2010-12-01'),
        ('a', 3, 'AUTHORIZED', 'q', 10, 'GBP', '2010-12-01');
    INSERT INTO posting VALUES ('a', 1, 'HOLDS', 10), ('a', 1, 'AUTHORIZATIONS', -10),
        ('a', 2, 'HOLDS', -10), ('a', 2, 'AUTHORIZATIONS', 10), ('a', 2, 'CASH', 10), ('a', 2, 'REVENUE', -10),
        ('a', 3, 'HOLDS', 10), ('a', 3, 'AUTHORIZATIONS', -10);";

/// Illegal statements on that history, each with the constraint or SQLSTATE that rejects it.
const ILLEGAL: &[(&str, &str)] = &[
    ("INSERT INTO posting VALUES ('a', 3, 'CASH', 10)", "posting_balanced"),
    ("INSERT INTO posting VALUES ('a', 3, 'CASH', 10), ('a', 3, 'REVENUE', -10)", "posting_balanced"),
    ("UPDATE posting SET amount_minor = 1", "23001"),
    ("UPDATE ledger_event SET amount_minor = 1", "23001"),
    ("DELETE FROM ledger_event", "23001"),
    ("TRUNCATE account CASCADE", "23001"),
    ("UPDATE payment SET refunded_minor = 11 WHERE payment_id = 'p'", "payment_refunded_within_captured"),
    ("UPDATE payment SET refunded_minor = 1 WHERE payment_id = 'q'", "payment_refunded_within_captured"),
    ("UPDATE payment SET refunded_minor = 5 WHERE payment_id = 'p'", "payment_told_by_events"),
    (
        "INSERT INTO ledger_event (account_id, version, type, payment_id, amount_minor, currency_code, effective_at)
         VALUES ('a', 4, 'CAPTURED', 'p', 10, 'GBP', '2010-12-01')",
        "ledger_event_settled_once",
    ),
    (
        "INSERT INTO ledger_event (account_id, version, type, payment_id, amount_minor, currency_code, effective_at)
         VALUES ('a', 4, 'AUTHORIZED', 'q', 10, 'GBP', '2010-12-01')",
        "ledger_event_answered_once",
    ),
    (
        "INSERT INTO ledger_event (account_id, version, type, payment_id, amount_minor, currency_code, effective_at)
         VALUES ('a', 5, 'VOIDED', 'q', 10, 'GBP', '2010-12-01')",
        "ledger_event_no_gap",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_would_break_the_books() -> Result<()> {
    let mesh = payments().await?;
    let pool = mesh.database("payments").await?;
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {HISTORY} COMMIT;")))
        .execute(&pool)
        .await?;
    for (illegal, rule) in ILLEGAL {
        // Deferred constraints are checked at the commit.
        let mut tx = pool.begin().await?;
        let refused = match sqlx::raw_sql(*illegal).execute(&mut *tx).await {
            Ok(_) => tx.commit().await.err(),
            Err(error) => Some(error),
        };
        let refused = refused.with_context(|| format!("accepted: {illegal}"))?;
        let refused = refused
            .as_database_error()
            .context("a refusal of the database")?;
        let rules = [
            refused.constraint().map(str::to_owned),
            refused.code().map(|code| code.into_owned()),
        ];
        assert!(
            rules.iter().flatten().any(|name| name == rule),
            "{illegal}: {rules:?}"
        );
    }
    let sum: i64 = sqlx::query_scalar("SELECT sum(amount_minor)::bigint FROM posting")
        .fetch_one(&pool)
        .await?;
    assert_eq!(sum, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_commands_leave_a_history_without_gaps() -> Result<()> {
    let mesh = payments().await?;
    let pool = many(&mesh).await?;
    let ids: Vec<String> = (0..64).map(|n| format!("gap-{n}")).collect();
    for answer in together(
        &pool,
        ids.iter().map(|id| authorize(id, "gap", 5)).collect(),
    )
    .await
    {
        assert_eq!(answer?.state, State::Authorized);
    }
    // Two captures and a void of each payment: one of them wins.
    let commands = ids
        .iter()
        .flat_map(|id| [capture(id), void(id), capture(id)])
        .collect();
    for answer in together(&pool, commands).await {
        if let Err(error) = answer {
            let lost = matches!(
                error,
                Error::Refused(_, Refusal::Captured | Refusal::NotAuthorized(_))
            );
            assert!(lost, "{error:?}");
        }
    }
    let events = store::events(&pool, "gap", 0, 1000).await?;
    let versions: Vec<i64> = events.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=128).collect::<Vec<_>>());
    assert_eq!(store::drift(&pool, "gap").await?, Vec::<String>::new());
    assert_eq!(
        store::balance(&pool, "gap", "GBP", None).await?.held_minor,
        0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refunds_stop_at_what_was_captured() -> Result<()> {
    let mesh = payments().await?;
    let pool = many(&mesh).await?;
    execute(&pool, authorize("much", "much", 10)).await?;
    execute(&pool, capture("much")).await?;
    let answers = together(
        &pool,
        (0..20)
            .map(|n| refund("much", &format!("much-{n}"), 3))
            .collect(),
    )
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!(store::payment(&pool, "much").await?.refunded_minor, 9);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_of_a_batch_has_its_own_result() -> Result<()> {
    let mesh = payments().await?;
    let pool = many(&mesh).await?;
    let commands = [
        authorize("one", "batch", 10),
        authorize("two", "other", 20),
        capture("unknown"),
        capture("one"),
        refund("one", "one-1", 4),
        refund("two", "two-1", 4),
        refund("one", "one-1", 4),
        refund("one", "one-2", 7),
        authorize("one", "batch", 10),
    ];
    let results = store::execute(&pool, &commands, &policy()).await?;
    let said: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(payment) => Ok((payment.captured_minor, payment.refunded_minor)),
            Err(Error::Refused(_, refusal)) => Err(refusal.clone()),
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        Ok((0, 0)),
        Ok((0, 0)),
        Err(Refusal::Unknown),
        Ok((10, 0)),
        Ok((10, 4)),
        Err(Refusal::NotCaptured(State::Authorized)),
        Ok((10, 4)),
        Err(Refusal::RefundExceeds { available_minor: 6 }),
        Ok((10, 4)),
    ];
    assert_eq!(said, expected);
    // All of it is repeated: nothing changes.
    let again = store::execute(&pool, &commands, &policy()).await?;
    let ok = |results: &[Result<Payment, Error>]| results.iter().filter(|one| one.is_ok()).count();
    assert_eq!(ok(&again), ok(&results));
    assert_eq!(store::payment(&pool, "one").await?.refunded_minor, 4);
    for account in ["batch", "other"] {
        assert_eq!(store::drift(&pool, account).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_batches_of_the_same_accounts_neither_deadlock_nor_double() -> Result<()> {
    let mesh = payments().await?;
    let pool = many(&mesh).await?;
    // Every batch has every payment, in another order.
    let mut running = JoinSet::new();
    for first in 0..8 {
        let pool = pool.clone();
        running.spawn(async move {
            let of = |n: usize| (n + first * 4) % 32;
            let commands: Vec<_> = (0..32)
                .map(|n| authorize(&format!("same-{}", of(n)), &format!("a-{}", of(n) % 5), 1))
                .collect();
            store::execute(&pool, &commands, &policy()).await
        });
    }
    for results in running.join_all().await {
        assert!(results?.iter().all(|result| result.is_ok()));
    }
    let held = async |account: &str| -> Result<i64> {
        Ok(store::balance(&pool, account, "GBP", None)
            .await?
            .held_minor)
    };
    let mut total = 0;
    for account in 0..5 {
        total += held(&format!("a-{account}")).await?;
    }
    assert_eq!(total, 32);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_read_by_business_time() -> Result<()> {
    let mesh = payments().await?;
    let pool = many(&mesh).await?;
    for command in [
        authorize("time", "time", 10),
        capture("time"),
        refund("time", "time", 4),
    ] {
        execute(&pool, command).await?;
    }
    let mut paid = Vec::new();
    for as_of in [None, Some(at(8)), Some(at(9))] {
        paid.push(
            store::balance(&pool, "time", "GBP", as_of)
                .await?
                .paid_minor,
        );
    }
    assert_eq!(paid, [6, 10, 6]);
    let summary = store::summary(&pool, "GBP").await?;
    let days: Vec<_> = summary
        .days
        .iter()
        .map(|day| (day.captured_minor, day.refunded_minor))
        .collect();
    assert_eq!(days, [(10, 0), (0, 4)]);
    assert_eq!(summary.ledger_sum_minor, 0);
    Ok(())
}

async fn payments() -> Result<Mesh> {
    Mesh::start_with(Mesh::options()?.only(["payments"])?).await
}

/// Returns a pool with one connection per concurrent caller.
async fn many(mesh: &Mesh) -> Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(8)
        .connect(&mesh.stack().database_url("payments")?)
        .await?)
}

async fn together(pool: &PgPool, commands: Vec<Command>) -> Vec<Result<Payment, Error>> {
    let mut running = JoinSet::new();
    for command in commands {
        let pool = pool.clone();
        running.spawn(async move { execute(&pool, command).await });
    }
    running.join_all().await
}

async fn execute(pool: &PgPool, command: Command) -> Result<Payment, Error> {
    let mut results = store::execute(pool, &[command], &policy()).await?;
    results.swap_remove(0)
}

fn policy() -> Policy {
    Policy {
        limit_minor: 1_000_000,
        currency_code: "GBP".into(),
    }
}

fn at(day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2010, 12, day)
        .unwrap()
        .and_hms_opt(8, 26, 0)
        .unwrap()
}

fn authorize(id: &str, account: &str, amount_minor: i64) -> Command {
    let asked = Authorization {
        account_id: account.into(),
        currency_code: "GBP".into(),
        amount_minor,
        effective_at: at(1),
    };
    Command {
        payment_id: id.into(),
        action: Action::Authorize(asked),
    }
}

fn capture(id: &str) -> Command {
    Command {
        payment_id: id.into(),
        action: Action::Capture(at(1)),
    }
}

fn void(id: &str) -> Command {
    Command {
        payment_id: id.into(),
        action: Action::Void,
    }
}

fn refund(id: &str, refund_id: &str, amount_minor: i64) -> Command {
    let asked = Refund {
        refund_id: refund_id.into(),
        amount_minor,
        effective_at: at(9),
    };
    Command {
        payment_id: id.into(),
        action: Action::Refund(asked),
    }
}
