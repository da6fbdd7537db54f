//! Migrations that make events of what is in the tables of a service already.

use anyhow::Result;
use integration_tests::Mesh;
use payments::{
    model::{Action, Command, Payment, Policy, Refund},
    store,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

const LEDGER: [&str; 2] = [
    include_str!("../../../services/payments/migrations/0001_ledger.up.sql"),
    include_str!("../../../services/payments/migrations/0002_no_decline_reason_is_null.up.sql"),
];
const EVENTS_OF_PAYMENTS: &str =
    include_str!("../../../services/payments/migrations/0003_events_of_payments.up.sql");

const LEDGER_BACK: [&str; 2] = [
    include_str!("../../../services/payments/migrations/0003_events_of_payments.down.sql"),
    include_str!("../../../services/payments/migrations/0002_no_decline_reason_is_null.down.sql"),
];

/// A captured payment with a refund, a declined one, a voided one, and an id that was closed before
/// it was used.
const PAYMENTS: &str = "
    BEGIN;
    INSERT INTO account VALUES ('a'), ('b');
    INSERT INTO payment (payment_id, account_id, currency_code, amount_minor, effective_at, state, decline_reason,
                         captured_minor, refunded_minor) VALUES
        ('paid', 'a', 'GBP', 10, '2010-12-01 08:26', 'CAPTURED', NULL, 10, 4),
        ('declined', 'a', 'GBP', 99, '2010-12-01 08:27', 'DECLINED', 'LIMIT_EXCEEDED', 0, 0),
        ('voided', 'b', 'GBP', 7, '2010-12-01 08:28', 'VOIDED', NULL, 0, 0),
        ('closed', NULL, NULL, NULL, NULL, 'VOIDED', NULL, 0, 0);
    INSERT INTO ledger_event (account_id, version, type, payment_id, refund_id, decline_reason, amount_minor,
                              currency_code, effective_at) VALUES
        ('a', 1, 'AUTHORIZED', 'paid', NULL, NULL, 10, 'GBP', '2010-12-01 08:26'),
        ('a', 2, 'DECLINED', 'declined', NULL, 'LIMIT_EXCEEDED', 99, 'GBP', '2010-12-01 08:27'),
        ('a', 3, 'CAPTURED', 'paid', NULL, NULL, 10, 'GBP', '2010-12-01 08:29'),
        ('a', 4, 'REFUNDED', 'paid', 'r', NULL, 4, 'GBP', '2010-12-02 08:26'),
        ('b', 1, 'AUTHORIZED', 'voided', NULL, NULL, 7, 'GBP', '2010-12-01 08:28'),
        ('b', 2, 'VOIDED', 'voided', NULL, NULL, 7, 'GBP', '2010-12-01 08:28');
    INSERT INTO posting VALUES
        ('a', 1, 'HOLDS', 10), ('a', 1, 'AUTHORIZATIONS', -10),
        ('a', 3, 'HOLDS', -10), ('a', 3, 'AUTHORIZATIONS', 10), ('a', 3, 'CASH', 10), ('a', 3, 'REVENUE', -10),
        ('a', 4, 'REFUNDS', 4), ('a', 4, 'CASH', -4),
        ('b', 1, 'HOLDS', 7), ('b', 1, 'AUTHORIZATIONS', -7), ('b', 2, 'HOLDS', -7), ('b', 2, 'AUTHORIZATIONS', 7);
    COMMIT;";

const ORDERS: [&str; 4] = [
    include_str!("../../../services/orders/migrations/0001_orders.up.sql"),
    include_str!("../../../services/orders/migrations/0002_absent_is_null.up.sql"),
    include_str!("../../../services/orders/migrations/0003_sagas_of_the_library.up.sql"),
    include_str!("../../../services/orders/migrations/0004_delivery.up.sql"),
];
const HISTORY_BACK: &str =
    include_str!("../../../services/orders/migrations/0006_history.down.sql");
const SAGAS_BACK: &str =
    include_str!("../../../services/orders/migrations/0003_sagas_of_the_library.down.sql");
const HISTORY: &str = include_str!("../../../services/orders/migrations/0006_history.up.sql");

/// An order in each kind of state. Nothing is known of the saga of the shipped one any more.
const PLACED: &str = "
    INSERT INTO orders (order_id, request_id, account_id, state, reason, placed_at, currency_code, total_minor,
                        fingerprint, cancel_requested, version, delivery)
    SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, n, 'a', state, reason, '2010-12-01', 'GBP', 10, '',
           cancel_requested, 7, delivery
    FROM (VALUES (1, 'PENDING', NULL, true, NULL), (2, 'CONFIRMED', NULL, false, NULL),
                 (3, 'PAID', NULL, false, 'SHIPPED'), (4, 'FAILED', 'CAPTURE_TIMED_OUT', false, NULL))
         AS o (n, state, reason, cancel_requested, delivery);
    INSERT INTO saga.instance (name, definition, id, key, step, status, deadline)
    SELECT 'ORDER', 2, order_id, 'a', 'RESERVE', 'OPEN', now() FROM orders WHERE state <> 'PAID';
    INSERT INTO saga.log (name, id, version, step, answer)
    VALUES ('ORDER', '00000000-0000-0000-0000-000000000004', 5, 'CONFIRM', 'DONE');";

#[tokio::test(flavor = "multi_thread")]
async fn the_ledgers_entries_become_the_events_of_their_payments() -> Result<()> {
    let (_mesh, pool) = database().await?;
    run(&pool, &LEDGER).await?;
    run(&pool, &[PAYMENTS]).await?;
    eventsourcing::MIGRATIONS.run(&pool).await?;
    run(&pool, &[EVENTS_OF_PAYMENTS]).await?;
    // Nothing is lost on the way back and forth again.
    run(&pool, &LEDGER_BACK).await?;
    run(&pool, &[LEDGER[1], EVENTS_OF_PAYMENTS]).await?;

    let mut connection = pool.acquire().await?;
    let ids = ["paid", "declined", "voided", "closed"];
    let roots = eventsourcing::load::<Payment>(&mut connection, &ids).await?;
    drop(connection);
    let versions = ids.map(|id| roots[id].version());
    assert_eq!(versions, [3, 1, 2, 1]);
    for id in ids {
        let stored = store::payment(&pool, id).await?;
        assert_eq!(roots[id].state(), Some(&stored), "{id}");
    }
    for account in ["a", "b"] {
        assert_eq!(store::drift(&pool, account).await?, Vec::<String>::new());
    }

    // The migrated payment goes on, and a repeated refund is known.
    let policy = Policy {
        limit_minor: 1_000_000,
        currency_code: "GBP".into(),
    };
    let at = |day| {
        chrono::NaiveDate::from_ymd_opt(2010, 12, day).and_then(|day| day.and_hms_opt(8, 26, 0))
    };
    let refund = |refund_id: &str, amount_minor| Command {
        payment_id: "paid".into(),
        action: Action::Refund(Refund {
            refund_id: refund_id.into(),
            amount_minor,
            effective_at: at(2).unwrap(),
        }),
    };
    let commands = [refund("r", 4), refund("s", 6)];
    let results = store::execute(&pool, &commands, &policy).await?;
    let refunded: Vec<_> = results
        .into_iter()
        .map(|result| result.map(|payment| payment.refunded_minor))
        .collect::<Result<_, _>>()?;
    assert_eq!(refunded, [4, 10]);
    assert_eq!(store::drift(&pool, "a").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_orders_become_their_first_events() -> Result<()> {
    let (_mesh, pool) = database().await?;
    saga::MIGRATIONS.run(&pool).await?;
    run(&pool, &ORDERS).await?;
    run(&pool, &[PLACED]).await?;
    eventsourcing::MIGRATIONS.run(&pool).await?;
    run(&pool, &[HISTORY]).await?;
    run(&pool, &[HISTORY_BACK, HISTORY]).await?;
    // An open saga of a definition that the older schema does not know stays where it is.
    let refused = run(&pool, &[SAGAS_BACK]).await.unwrap_err().to_string();
    assert!(refused.contains("open sagas have no form"), "{refused}");

    let events: Vec<(String, String)> = sqlx::query_as(
        "SELECT right(id, 1), string_agg(type || coalesce(' ' || (payload ->> 'state'), ''), ', ' ORDER BY version)
         FROM eventsourcing.event GROUP BY id ORDER BY id",
    )
    .fetch_all(&pool)
    .await?;
    let expected = [
        ("1", "PLACED, CANCEL_REQUESTED"),
        ("2", "PLACED, STATE_CHANGED CONFIRMED"),
        (
            "3",
            "PLACED, STATE_CHANGED CONFIRMED, STATE_CHANGED PAID, DELIVERY_CHANGED",
        ),
        ("4", "PLACED, STATE_CHANGED CONFIRMED, STATE_CHANGED FAILED"),
    ];
    let expected = expected.map(|(order, events)| (order.to_owned(), events.to_owned()));
    assert_eq!(events, expected);
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM orders ORDER BY order_id")
        .fetch_all(&pool)
        .await?;
    assert_eq!(versions, [2, 2, 4, 3]);
    Ok(())
}

async fn database() -> Result<(Mesh, PgPool)> {
    let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
    let url = mesh.stack().database_url("postgres")?;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect(&url)
        .await?;
    Ok((mesh, pool))
}

async fn run(pool: &PgPool, migrations: &[&str]) -> Result<()> {
    for migration in migrations {
        let migration = AssertSqlSafe((*migration).to_owned());
        sqlx::raw_sql(migration).execute(pool).await?;
    }
    Ok(())
}
