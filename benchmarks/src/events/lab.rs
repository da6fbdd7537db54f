//! Engines of their own, and producers and consumers in databases of each measurement.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use events::{Bus, Consumer, Settings};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for facts that make no progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// Facts that one transaction commits.
const BATCH: usize = 500;
/// Connections of a producer or consumer.
const CONNECTIONS: u32 = 10;

/// A fact of 200 bytes, without a domain.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Counted {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(uint32, tag = "2")]
    pub(super) number: u32,
    #[prost(string, tag = "3")]
    pub(super) note: String,
}

impl contract::Event for Counted {
    const TYPE: &'static str = "bench.v1.Counted";
    const CONTEXT: &'static str = "bench";
    const AGGREGATE: &'static str = "account";

    fn key(&self) -> &str {
        &self.key
    }
}

/// The engines.
pub(super) struct Lab {
    pub(super) stack: Stack,
    databases: AtomicU32,
}

/// A producer and a consumer, in databases of their own.
pub(super) struct Ledgers {
    pub(super) producer: PgPool,
    pub(super) consumer: PgPool,
    pub(super) settings: Settings,
    pub(super) seen: Arc<Seen>,
}

/// When facts reached the handler, by their number.
pub(super) struct Seen {
    applied: watch::Sender<u64>,
    times: Mutex<Vec<Option<Instant>>>,
}

/// A relay or consumer.
pub(super) struct Task {
    stop: CancellationToken,
    task: JoinHandle<Result<(), events::Error>>,
}

// === impl Lab ===

impl Lab {
    pub(super) async fn start() -> Result<Self> {
        let home = Home::find()?;
        let options = StackOptions::new(&home)?.engines_only();
        let stack = Stack::launch(&home, StateDir::scratch(&home)?, options, Ui::Quiet).await?;
        let databases = AtomicU32::new(0);
        Ok(Self { stack, databases })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.stack.shutdown().await.map(drop)
    }

    /// Creates an empty database with the tables of the events.
    pub(super) async fn database(&self) -> Result<PgPool> {
        let owner = self.stack.database_url("postgres")?;
        let name = format!("bench{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = PgPool::connect(&owner).await?;
        // Safe: the name is made here.
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&admin)
            .await?;
        admin.close().await;
        let (server, _) = owner.rsplit_once('/').context("no database in the URL")?;
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = options.connect(&format!("{server}/{name}")).await?;
        events::MIGRATIONS.run(&pool).await?;
        sqlx::raw_sql(
            "CREATE TABLE account (key text PRIMARY KEY, number bigint NOT NULL);
             CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                                 key text NOT NULL, number bigint NOT NULL, note text NOT NULL)",
        )
        .execute(&pool)
        .await?;
        Ok(pool)
    }

    /// Makes a new producer and consumer, whose stream is empty.
    pub(super) async fn bench(&self, facts: u32) -> Result<Ledgers> {
        let (producer, consumer) = tokio::try_join!(self.database(), self.database())?;
        let settings = Settings {
            nats_url: self.stack.nats_url("operator")?,
            ..Settings::default()
        };
        let bus = events::connect(&settings, producer.clone()).await?;
        // There is nothing to publish again: it only deletes the stream of the one before.
        bus.rebuild("bench").await?;
        let (applied, _) = watch::channel(0);
        Ok(Ledgers {
            producer,
            consumer,
            settings,
            seen: Arc::new(Seen {
                applied,
                times: Mutex::new(vec![None; facts as usize]),
            }),
        })
    }
}

// === impl Ledgers ===

impl Ledgers {
    pub(super) async fn bus(&self) -> Result<Bus> {
        Ok(events::connect(&self.settings, self.producer.clone()).await?)
    }

    /// Starts a relay.
    pub(super) fn relay(&self, bus: &Bus) -> Task {
        let bus = bus.clone();
        Task::start(|stop| async move { bus.run_relay(stop).await })
    }

    /// Starts the consumer, whose effect is a row.
    pub(super) async fn consume(&self) -> Result<Task> {
        let bus = events::connect(&self.settings, self.consumer.clone()).await?;
        let seen = self.seen.clone();
        let consumer = Consumer::new("audit.accounts", "bench", "account").on_batch::<Counted>(
            move |tx, facts| {
                let seen = seen.clone();
                Box::pin(async move {
                    seen.note(&facts);
                    insert(tx, &facts).await?;
                    Ok(())
                })
            },
        );
        Ok(Task::start(|stop| async move {
            bus.run_consumer(consumer, stop).await
        }))
    }

    /// Commits `facts` in their order, with their business rows, many in one transaction.
    pub(super) async fn publish(&self, bus: &Bus, facts: &[Counted]) -> Result<()> {
        for batch in facts.chunks(BATCH) {
            let mut tx = self.producer.begin().await?;
            insert(&mut tx, batch).await?;
            events::publish_all(&mut tx, batch).await?;
            tx.commit().await?;
            bus.wake().await;
        }
        Ok(())
    }
}

/// Inserts a row for each fact, by one statement.
pub(super) async fn insert(
    connection: &mut sqlx::PgConnection,
    facts: &[Counted],
) -> Result<(), sqlx::Error> {
    let keys: Vec<&str> = facts.iter().map(|fact| fact.key.as_str()).collect();
    let numbers: Vec<i64> = facts.iter().map(|fact| fact.number.into()).collect();
    let notes: Vec<&str> = facts.iter().map(|fact| fact.note.as_str()).collect();
    sqlx::query(
        "INSERT INTO entry (key, number, note)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])",
    )
    .bind(keys)
    .bind(numbers)
    .bind(notes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes `count` facts about as many keys as `key` names.
pub(super) fn facts(count: u32, key: impl Fn(u32) -> String) -> Vec<Counted> {
    let fact = |number| Counted {
        key: key(number),
        number,
        note: "n".repeat(180),
    };
    (0..count).map(fact).collect()
}

// === impl Seen ===

impl Seen {
    fn note(&self, facts: &[Counted]) {
        let now = Instant::now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = 0;
        for fact in facts {
            // A batch that is rolled back is applied again.
            if let Some(time) = times
                .get_mut(fact.number as usize)
                .filter(|time| time.is_none())
            {
                *time = Some(now);
                new += 1;
            }
        }
        drop(times);
        self.applied.send_modify(|applied| *applied += new);
    }

    /// Waits until `count` facts have reached the handler.
    pub(super) async fn until(&self, count: u32) -> Result<()> {
        let mut applied = self.applied.subscribe();
        while *applied.borrow_and_update() < u64::from(count) {
            let changed = tokio::time::timeout(PATIENCE, applied.changed()).await;
            let now = *self.applied.borrow();
            ensure!(
                changed.is_ok(),
                "{now} of {count} facts applied, and no more"
            );
        }
        Ok(())
    }

    /// Returns when each fact reached the handler.
    pub(super) fn times(&self) -> Vec<Option<Instant>> {
        let times = self.times.lock();
        times.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Task ===

impl Task {
    fn start<F, R>(run: F) -> Self
    where
        F: FnOnce(CancellationToken) -> R,
        R: Future<Output = Result<(), events::Error>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(stop.clone()));
        Self { stop, task }
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}
