//! The event sourcing library on a database: versions, snapshots, upcasting, projections.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use eventsourcing::{
    Aggregate, Behind, Error, EventType, Generation, Handle, Problem, Projection, Root, Runner,
    Status, Stored, progress, rebuild,
};
use integration_tests::{Mesh, PATIENCE, eventually};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An event of an account. In schema 1 the payload of `ADDED` was the number alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "SCREAMING_SNAKE_CASE")]
enum AccountEvent {
    Opened,
    Added { minor: i64 },
}

impl eventsourcing::Event for AccountEvent {
    const TYPES: &'static [EventType] = &[
        EventType::new("OPENED"),
        EventType::new("ADDED").upcasts(&[|number| Ok(json!({ "minor": number }))]),
    ];
}

/// The state of an account, in a version of its form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account<const VERSION: i32> {
    minor: i64,
    events: i64,
}

impl<const VERSION: i32> Aggregate for Account<VERSION> {
    type Event = AccountEvent;

    const NAME: &'static str = "account";
    const STATE_VERSION: i32 = VERSION;
    const SNAPSHOT_EVERY: i64 = 10;

    fn apply(state: Option<Self>, _: &str, event: &AccountEvent) -> Option<Self> {
        let (minor, events) = match (state, event) {
            (None, AccountEvent::Opened) => (0, 1),
            (Some(state), AccountEvent::Added { minor }) => (state.minor + minor, state.events + 1),
            _ => return None,
        };
        Some(Self { minor, events })
    }
}

/// The balances of all accounts, in a version of the code: version 2 doubles them.
#[derive(Clone, Copy, Debug)]
struct Balances<const VERSION: i32>;

impl<const VERSION: i32> Projection for Balances<VERSION> {
    const NAME: &'static str = "balance";
    const VERSION: i32 = VERSION;
    const AGGREGATES: &'static [&'static str] = &["account"];

    async fn apply(
        &self,
        tx: &mut PgConnection,
        generation: i32,
        events: &[Stored],
    ) -> Result<(), Error> {
        let mut sums = BTreeMap::<&str, (i64, i64)>::new();
        for stored in events {
            let minor = match stored.decode()? {
                AccountEvent::Opened => 0,
                AccountEvent::Added { minor } => minor * i64::from(VERSION),
            };
            let sum = sums.entry(&*stored.id).or_default();
            *sum = (sum.0 + minor, sum.1 + 1);
        }
        let (ids, minors, events) =
            store::columns!(sums, (id, (minor, events)) => *id, *minor, *events);
        sqlx::query(
            "INSERT INTO balance (generation, id, minor, events)
             SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
             ON CONFLICT (generation, id) DO UPDATE
             SET minor = balance.minor + excluded.minor, events = balance.events + excluded.events",
        )
        .bind(generation)
        .bind(&ids)
        .bind(&minors)
        .bind(&events)
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// A database with the tables of the library, and runners on it.
struct Bank {
    _mesh: Mesh,
    pool: PgPool,
    stop: CancellationToken,
    runners: JoinSet<()>,
}

impl Bank {
    async fn open() -> Result<Self> {
        let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
        let url = mesh.stack().database_url("postgres")?;
        let pool = PgPoolOptions::new()
            .max_connections(12)
            .connect(&url)
            .await?;
        eventsourcing::MIGRATIONS.run(&pool).await?;
        sqlx::query(
            "CREATE TABLE balance (generation integer NOT NULL, id text NOT NULL, minor bigint NOT NULL,
             events bigint NOT NULL, PRIMARY KEY (generation, id)) PARTITION BY LIST (generation)",
        )
        .execute(&pool)
        .await?;
        Ok(Self {
            _mesh: mesh,
            pool,
            stop: CancellationToken::new(),
            runners: JoinSet::new(),
        })
    }

    fn run<const VERSION: i32>(&mut self) -> Handle {
        let runner = Runner::new(self.pool.clone(), Balances::<VERSION>);
        let handle = runner.handle();
        let stop = self.stop.clone();
        self.runners.spawn(async move {
            let Ok(()) = runner.run(stop).await;
        });
        handle
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.runners.join_next().await {
            ended.unwrap();
        }
        self.stop = CancellationToken::new();
    }

    /// Returns the balances that readers see: minor units and number of events, by account.
    async fn balances(&self) -> Result<BTreeMap<String, (i64, i64)>> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT id, minor, events FROM balance WHERE generation =
                 (SELECT generation FROM eventsourcing.projection WHERE name = 'balance' AND status = 'LIVE')",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, minor, events)| (id, (minor, events)))
            .collect())
    }

    /// Returns the balances that a fold of all events finds.
    async fn folded(&self) -> Result<BTreeMap<String, (i64, i64)>> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT id FROM eventsourcing.event WHERE aggregate = 'account'",
        )
        .fetch_all(&self.pool)
        .await?;
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let mut connection = self.pool.acquire().await?;
        let roots = eventsourcing::load::<Account<1>>(&mut connection, &ids).await?;
        let sum = |(id, root): (String, Root<Account<1>>)| {
            let state = root.state().cloned();
            state.map(|state| (id, (state.minor, state.events)))
        };
        Ok(roots.into_iter().filter_map(sum).collect())
    }

    async fn generations(&self) -> Result<Vec<Generation>> {
        Ok(progress(&self.pool, "balance").await?)
    }

    async fn wait_for_generation(&self, number: i32) -> Result<()> {
        eventually("a new live generation, and no other", async || {
            let all = self.generations().await?;
            match &all[..] {
                [one] if one.generation == number && one.status == Status::Live => Ok(()),
                _ => bail!("{all:?}"),
            }
        })
        .await
    }

    async fn last(&self) -> Result<i64> {
        let last = sqlx::query_scalar("SELECT max(sequence) FROM eventsourcing.event");
        Ok(last.fetch_one(&self.pool).await?)
    }
}

async fn add(pool: &PgPool, ids: &[&str], minor: i64) -> Result<i64, Error> {
    let mut tx = pool.begin().await?;
    let sequence = add_in(&mut tx, ids, minor).await?;
    tx.commit().await?;
    Ok(sequence)
}

async fn add_in(tx: &mut PgConnection, ids: &[&str], minor: i64) -> Result<i64, Error> {
    let mut accounts = eventsourcing::load::<Account<1>>(tx, ids).await?;
    for account in accounts.values_mut() {
        if account.version() == 0 {
            account.record(AccountEvent::Opened)?;
        }
        account.record(AccountEvent::Added { minor })?;
    }
    let last = eventsourcing::append(tx, accounts.values_mut()).await?;
    Ok(last.unwrap_or_default())
}

/// Repeats an addition that others were faster with.
async fn add_despite_conflicts(pool: &PgPool, ids: &[&str], minor: i64) -> Result<i64> {
    for _ in 0..1_000 {
        match add(pool, ids, minor).await {
            Err(Error::Conflict { .. }) => {}
            other => return Ok(other?),
        }
    }
    bail!("a conflict at each of 1,000 attempts")
}

/// Adds to some of the accounts after others until `stop`; each writer returns its turns.
fn write_until(stop: &CancellationToken, pool: &PgPool, ids: &[String]) -> JoinSet<Result<usize>> {
    let mut writers = JoinSet::new();
    for writer in 0..3 {
        let (pool, ids, stop) = (pool.clone(), ids.to_vec(), stop.clone());
        writers.spawn(async move {
            let mut turns = 0;
            while !stop.is_cancelled() {
                let chosen = (0..5).map(|n| &*ids[((turns + writer) * 7 + n) % ids.len()]);
                let chosen: Vec<_> = chosen.collect();
                add_despite_conflicts(&pool, &chosen, 1).await?;
                turns += 1;
            }
            Ok(turns)
        });
    }
    writers
}

async fn account<const VERSION: i32>(pool: &PgPool, id: &str) -> Result<Root<Account<VERSION>>> {
    let mut connection = pool.acquire().await?;
    let mut roots = eventsourcing::load(&mut connection, &[id]).await?;
    roots.remove(id).context("a root for each id")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_a_changed_aggregate_names_both_versions() -> Result<()> {
    let bank = Bank::open().await?;
    add(&bank.pool, &["a", "b"], 1).await?;
    let mut stale = account::<1>(&bank.pool, "b").await?;
    add(&bank.pool, &["b"], 1).await?;
    stale.record(AccountEvent::Added { minor: 5 })?;

    let mut tx = bank.pool.begin().await?;
    let refused = eventsourcing::append(&mut tx, [&mut stale]).await;
    drop(tx);
    let refused = refused.unwrap_err();
    let expected = "account \"b\" has changed: expected version 2, found 3";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(account::<1>(&bank.pool, "b").await?.version(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_batches_lose_no_event_and_repeat_none() -> Result<()> {
    let bank = Bank::open().await?;
    let ids: Vec<_> = (0..8).map(|n| format!("a-{n}")).collect();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (pool, ids) = (bank.pool.clone(), ids.clone());
        writers.spawn(async move {
            for turn in 0..10 {
                // Every batch has half of the accounts, in another order.
                let chosen = (0..4).map(|n| &*ids[(n * 3 + writer + turn) % 8]);
                let chosen: Vec<_> = chosen.collect();
                add_despite_conflicts(&pool, &chosen, 1).await?;
            }
            anyhow::Ok(())
        });
    }
    for ended in writers.join_all().await {
        ended?;
    }
    let sums = bank.folded().await?;
    let minor: i64 = sums.values().map(|(minor, _)| minor).sum();
    assert_eq!(minor, 8 * 10 * 4);
    let gaps: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT max(version) <> count(*) AS gap FROM eventsourcing.event GROUP BY id) AS one
         WHERE gap",
    )
    .fetch_one(&bank.pool)
    .await?;
    assert_eq!(gaps, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_events_can_not_be_changed() -> Result<()> {
    let bank = Bank::open().await?;
    add(&bank.pool, &["a"], 1).await?;
    for statement in [
        "UPDATE eventsourcing.event SET payload = '{}'",
        "DELETE FROM eventsourcing.event",
        "TRUNCATE eventsourcing.event",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&bank.pool).await;
        let refused = refused.err().with_context(|| statement.to_owned())?;
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("23001"), "{statement}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_read_until_the_form_of_the_state_changes() -> Result<()> {
    let bank = Bank::open().await?;
    for _ in 0..12 {
        add(&bank.pool, &["a"], 1).await?;
    }
    // A snapshot that no fold finds shows which of them a load reads.
    let snapshot = "UPDATE eventsourcing.snapshot SET state = '{\"minor\": 1000, \"events\": 0}' RETURNING version";
    let version: i64 = sqlx::query_scalar(snapshot).fetch_one(&bank.pool).await?;
    assert_eq!(version, 10);
    let minor = account::<1>(&bank.pool, "a")
        .await?
        .state()
        .map(|state| state.minor);
    assert_eq!(minor, Some(1003));

    // Another form: all 13 events are folded, and the next append replaces the snapshot.
    let mut renewed = account::<2>(&bank.pool, "a").await?;
    assert_eq!(
        renewed.state().map(|state| (state.minor, state.events)),
        Some((12, 13))
    );
    renewed.record(AccountEvent::Added { minor: 1 })?;
    let mut tx = bank.pool.begin().await?;
    eventsourcing::append(&mut tx, [&mut renewed]).await?;
    tx.commit().await?;
    let stored: (i64, i32) =
        sqlx::query_as("SELECT version, state_version FROM eventsourcing.snapshot")
            .fetch_one(&bank.pool)
            .await?;
    assert_eq!(stored, (14, 2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_upcast_and_unknown_ones_refused() -> Result<()> {
    let mut bank = Bank::open().await?;
    add(&bank.pool, &["a"], 1).await?;
    let insert = |version: i64, r#type: &str, schema: i32, payload: &str| {
        format!(
            "INSERT INTO eventsourcing.event (aggregate, id, version, type, schema, payload)
             VALUES ('account', 'a', {version}, '{type}', {schema}, '{payload}')"
        )
    };
    let old = insert(3, "ADDED", 1, "41");
    sqlx::raw_sql(AssertSqlSafe(old))
        .execute(&bank.pool)
        .await?;
    let minor = account::<1>(&bank.pool, "a")
        .await?
        .state()
        .map(|state| state.minor);
    assert_eq!(minor, Some(42));

    let handle = bank.run::<1>();
    let known = bank.last().await?;
    ensure!(handle.reached(&bank.pool, known, PATIENCE).await?.is_ok());
    let newer = insert(4, "ADDED", 3, "{}");
    sqlx::raw_sql(AssertSqlSafe(newer))
        .execute(&bank.pool)
        .await?;
    let refused = account::<1>(&bank.pool, "a").await.unwrap_err();
    let refused = refused.downcast::<Error>()?;
    assert!(matches!(
        refused,
        Error::Unreadable {
            problem: Problem::NewerSchema { found: 3, known: 2 },
            ..
        }
    ));
    // The projection stands still before it, and says why.
    let stopped = eventually("a problem", async || {
        let all = bank.generations().await?;
        let one = all.into_iter().next().context("a generation")?;
        ensure!(one.problem.is_some(), "{one:?}");
        Ok(one)
    })
    .await?;
    assert_eq!(stopped.position, known);
    assert_eq!(stopped.problem, Some(refused.to_string()));
    assert_eq!(bank.balances().await?["a"], (42, 3));
    bank.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_waits_for_a_lower_sequence_that_commits_later() -> Result<()> {
    let mut bank = Bank::open().await?;
    let handle = bank.run::<1>();
    let first = add(&bank.pool, &["seen"], 1).await?;
    ensure!(handle.reached(&bank.pool, first, PATIENCE).await?.is_ok());

    let mut late = bank.pool.begin().await?;
    let lower = add_in(&mut late, &["late"], 1).await?;
    let higher = add(&bank.pool, &["early"], 1).await?;
    ensure!(lower < higher);
    let behind = handle
        .reached(&bank.pool, higher, Duration::from_millis(300))
        .await?;
    let expected = Err(Behind::Late {
        position: first,
        sequence: higher,
    });
    assert_eq!(behind, expected);
    late.commit().await?;
    ensure!(handle.reached(&bank.pool, higher, PATIENCE).await?.is_ok());
    assert_eq!(bank.balances().await?, bank.folded().await?);
    assert_eq!(bank.balances().await?.len(), 3);

    let never = handle.reached(&bank.pool, higher + 1, PATIENCE).await?;
    assert_eq!(never, Err(Behind::Unknown(higher + 1)));
    bank.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_beside_writers_and_readers_ends_with_the_same_rows() -> Result<()> {
    let mut bank = Bank::open().await?;
    let ids: Vec<_> = (0..40).map(|n| format!("a-{n}")).collect();
    let all: Vec<_> = ids.iter().map(String::as_str).collect();
    for _ in 0..30 {
        add(&bank.pool, &all, 1).await?;
    }
    // Two processes run the same projection.
    let handle = bank.run::<1>();
    bank.run::<1>();
    ensure!(
        handle
            .reached(&bank.pool, bank.last().await?, PATIENCE)
            .await?
            .is_ok()
    );

    let stop = CancellationToken::new();
    let writers = write_until(&stop, &bank.pool, &ids);
    assert_eq!(rebuild::<Balances<1>>(&bank.pool).await?, 2);
    let second = rebuild::<Balances<1>>(&bank.pool).await;
    assert!(
        matches!(second, Err(Error::Building("balance")) | Ok(3)),
        "{second:?}"
    );
    let last = if second.is_ok() { 3 } else { 2 };
    // What a reader has seen never becomes less, whichever generation it sees.
    let mut seen = 0;
    eventually("the new generation alone", async || {
        let events: i64 = bank
            .balances()
            .await?
            .values()
            .map(|(_, events)| events)
            .sum();
        ensure!(events >= seen, "{events} events after {seen}");
        seen = events;
        let all = bank.generations().await?;
        match &all[..] {
            [one] if one.generation == last && one.status == Status::Live => Ok(()),
            _ => bail!("{all:?}"),
        }
    })
    .await?;
    stop.cancel();
    for ended in writers.join_all().await {
        ensure!(ended? > 0, "a writer stood still");
    }
    ensure!(
        handle
            .reached(&bank.pool, bank.last().await?, PATIENCE)
            .await?
            .is_ok()
    );
    assert_eq!(bank.balances().await?, bank.folded().await?);
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'balance'::regclass",
    )
    .fetch_one(&bank.pool)
    .await?;
    assert_eq!(tables, 1, "a retired generation is left");
    bank.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_code_builds_its_generation_and_older_code_keeps_off_it() -> Result<()> {
    let mut bank = Bank::open().await?;
    let last = add(&bank.pool, &["a", "b"], 3).await?;
    let old = bank.run::<1>();
    ensure!(old.reached(&bank.pool, last, PATIENCE).await?.is_ok());
    bank.run::<2>();
    bank.wait_for_generation(2).await?;
    assert_eq!(bank.balances().await?["a"], (6, 2));
    let refused = rebuild::<Balances<1>>(&bank.pool).await;
    assert!(matches!(
        refused,
        Err(Error::Outdated {
            live: 2,
            own: 1,
            ..
        })
    ));
    // The old process still follows the live generation, which the new one writes.
    let next = add(&bank.pool, &["a"], 1).await?;
    ensure!(old.reached(&bank.pool, next, PATIENCE).await?.is_ok());
    assert_eq!(bank.balances().await?["a"], (8, 3));
    bank.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_resumes_where_its_process_stopped() -> Result<()> {
    let mut bank = Bank::open().await?;
    let ids: Vec<_> = (0..600).map(|n| format!("a-{n}")).collect();
    let all: Vec<_> = ids.iter().map(String::as_str).collect();
    add(&bank.pool, &all, 2).await?;
    bank.run::<1>();
    eventually("a first batch", async || {
        let all = bank.generations().await?;
        ensure!(all.iter().any(|one| one.applied > 0), "{all:?}");
        Ok(())
    })
    .await?;
    bank.stop().await;
    let handle = bank.run::<1>();
    ensure!(
        handle
            .reached(&bank.pool, bank.last().await?, PATIENCE)
            .await?
            .is_ok()
    );
    // An event that was applied twice or never would show in the number of events.
    assert_eq!(bank.balances().await?, bank.folded().await?);
    let all = bank.generations().await?;
    let one = all.first().context("a generation")?;
    assert_eq!((one.applied, one.position), (1_200, one.head));
    bank.stop().await;
    Ok(())
}
