//! Private engines with a producer's and a consumer's database, and an event without a domain.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::stream::{Config, Stream};
use events::stopped::StoppedKey;
use events::{Bus, Consumer, Error, HandlerError, Settings};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::connect;

/// Longest wait; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub(super) const CONTEXT: &str = "counting";
pub(super) const AGGREGATE: &str = "tally";
const STREAM: &str = "EVT_COUNTING";
pub(super) const CONSUMER: &str = "audit.tallies";

/// Event: a tally was counted up.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Counted {
    #[prost(string, tag = "1")]
    pub(super) tally: String,
    #[prost(int64, tag = "2")]
    pub(super) number: i64,
    #[prost(string, tag = "3")]
    pub(super) note: String,
}

/// The tables that a restore of the producer takes back; the outbox is empty whenever a test does
/// that.
const OF_PRODUCER: [&str; 3] = ["events.chain", "events.tail", "events.archive"];
/// The tables that a restore of the consumer takes back.
const OF_CONSUMER: [&str; 3] = ["events.inbox", "events.coverage", "applied"];

impl contract::Event for Counted {
    const TYPE: &'static str = "counting.v1.Counted";
    const CONTEXT: &'static str = CONTEXT;
    const AGGREGATE: &'static str = AGGREGATE;

    fn key(&self) -> &str {
        &self.tally
    }
}

pub(super) struct Desk {
    pub(super) stack: Stack,
    pub(super) producer: PgPool,
    pub(super) auditor: PgPool,
    pub(super) settings: Settings,
}

/// A task that runs until it is dropped or stopped.
pub(super) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

// === impl Desk ===

impl Desk {
    pub(super) async fn start() -> Result<Self> {
        let home = Home::find()?;
        let state_dir = StateDir::scratch(&home)?;
        let options = StackOptions::new(&home)?.engines_only();
        let stack = Stack::launch(&home, state_dir, options, Ui::detect()).await?;
        let settings = Settings {
            nats_url: stack.nats_url("operator")?,
            // Tests must not pass because of the server's deduplication window.
            stream_dedup_window_ms: 100,
            consumer_ack_wait_ms: 2000,
            retry_attempts: 3,
            retry_budget_ms: 1,
            ..Settings::default()
        };
        let producer = PgPool::connect(&stack.database_url("ingest")?).await?;
        let auditor = PgPool::connect(&stack.database_url("orders")?).await?;
        events::MIGRATIONS.run(&producer).await?;
        events::MIGRATIONS.run(&auditor).await?;
        sqlx::query(
            "CREATE TABLE applied (id bigint GENERATED ALWAYS AS IDENTITY, tally text, number bigint)",
        )
        .execute(&auditor)
        .await?;
        Ok(Self {
            stack,
            producer,
            auditor,
            settings,
        })
    }

    /// Commits one transaction per number.
    pub(super) async fn count(
        &self,
        tally: &str,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<()> {
        for number in numbers {
            let mut tx = self.producer.begin().await?;
            events::publish(&mut tx, &counted(tally, number)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Commits one fact whose text is `bytes` long.
    pub(super) async fn count_with(&self, tally: &str, number: i64, bytes: usize) -> Result<()> {
        let mut tx = self.producer.begin().await?;
        let fact = Counted {
            note: "x".repeat(bytes),
            ..counted(tally, number)
        };
        events::publish(&mut tx, &fact).await?;
        Ok(tx.commit().await?)
    }

    /// Runs a relay until nothing waits.
    pub(super) async fn relay_until_empty(&self) -> Result<()> {
        let relay = self.relay().await?;
        self.expect_outbox(0).await?;
        relay.stop().await
    }

    /// Copies what the producer's database knows about its facts.
    pub(super) async fn snapshot(&self) -> Result<()> {
        snapshot(&self.producer, &OF_PRODUCER).await
    }

    /// Takes the producer's database back to the snapshot.
    pub(super) async fn restore(&self) -> Result<()> {
        restore(&self.producer, &OF_PRODUCER).await
    }

    /// Copies the effects of the consumer, and what its database knows about them.
    pub(super) async fn snapshot_effects(&self) -> Result<()> {
        snapshot(&self.auditor, &OF_CONSUMER).await
    }

    /// Takes the consumer's database back to the snapshot.
    pub(super) async fn restore_effects(&self) -> Result<()> {
        restore(&self.auditor, &OF_CONSUMER).await
    }

    /// Copies the store of the broker into `copy`.
    pub(super) async fn copy_streams(&self, copy: &Path) -> Result<()> {
        self.stack.stop("nats").await?;
        copy_dir(&self.streams(), copy)?;
        self.stack.start("nats").await
    }

    /// Takes the broker back to the copy.
    pub(super) async fn restore_streams(&self, copy: &Path) -> Result<()> {
        self.stack.stop("nats").await?;
        std::fs::remove_dir_all(self.streams())?;
        copy_dir(copy, &self.streams())?;
        self.stack.start("nats").await
    }

    fn streams(&self) -> PathBuf {
        self.stack.dir().join("data/nats")
    }

    /// Waits until the key of `tally` is stopped.
    pub(super) async fn expect_stopped(&self, tally: &str) -> Result<StoppedKey> {
        until(&format!("{tally} is stopped"), async || {
            let stopped = events::stopped::list(&self.producer, 10).await?;
            let found = stopped.iter().find(|stopped| stopped.key == tally);
            Ok(found.cloned().ok_or(stopped.len()))
        })
        .await
    }

    pub(super) async fn relay(&self) -> Result<Running> {
        let bus = events::connect(&self.settings, self.producer.clone()).await?;
        Ok(Running::start(move |stop| async move {
            bus.run_relay(stop).await
        }))
    }

    pub(super) async fn audit(&self, consumer: Consumer) -> Result<Running> {
        self.audit_with(&self.settings, consumer).await
    }

    pub(super) async fn audit_with(
        &self,
        settings: &Settings,
        consumer: Consumer,
    ) -> Result<Running> {
        let bus = events::connect(settings, self.auditor.clone()).await?;
        Ok(Running::start(move |stop| async move {
            bus.run_consumer(consumer, stop).await
        }))
    }

    /// Returns the numbers applied to `tally`, in order.
    pub(super) async fn applied(&self, tally: &str) -> Result<Vec<i64>> {
        let numbers = sqlx::query_scalar("SELECT number FROM applied WHERE tally = $1 ORDER BY id")
            .bind(tally)
            .fetch_all(&self.auditor)
            .await?;
        Ok(numbers)
    }

    pub(super) async fn expect_applied(
        &self,
        tally: &str,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<()> {
        let expected: Vec<i64> = numbers.into_iter().collect();
        let reached = async || {
            let applied = self.applied(tally).await?;
            Ok((applied.len() >= expected.len())
                .then_some(applied.clone())
                .ok_or(applied))
        };
        let applied = until(&format!("{tally} is applied"), reached).await?;
        ensure!(
            applied == expected,
            "{tally}: {applied:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(super) async fn outbox(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM events.outbox")
            .fetch_one(&self.producer)
            .await?)
    }

    pub(super) async fn expect_outbox(&self, rows: i64) -> Result<()> {
        let reached = async || {
            let now = self.outbox().await?;
            Ok((now == rows).then_some(()).ok_or(now))
        };
        until(&format!("{rows} rows are in the outbox"), reached).await
    }

    /// Waits until a statement like `statement` waits for a lock in the producer's database.
    pub(super) async fn expect_waiting(&self, statement: &str) -> Result<()> {
        until(&format!("{statement} waits for a lock"), async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1",
            )
            .bind(statement)
            .fetch_one(&self.producer)
            .await?;
            Ok((waiting > 0).then_some(()).ok_or(waiting))
        })
        .await
    }

    pub(super) async fn stream(&self) -> Result<Stream> {
        let client = connect(&self.settings.nats_url).await?;
        Ok(async_nats::jetstream::new(client)
            .get_stream(STREAM)
            .await?)
    }

    pub(super) async fn update_stream(&self, config: &Config) -> Result<()> {
        let client = connect(&self.settings.nats_url).await?;
        async_nats::jetstream::new(client)
            .update_stream(config)
            .await?;
        Ok(())
    }

    /// Makes the stream lose all but its last `keep` messages, by a limit: it can't be purged.
    pub(super) async fn lose_all_but(&self, keep: i64) -> Result<()> {
        let kept = self.stream().await?.cached_info().config.clone();
        let mut limited = kept.clone();
        match keep {
            0 => limited.max_bytes = 1,
            keep => limited.max_messages = keep,
        }
        self.update_stream(&limited).await?;
        until(&format!("{keep} messages are left"), async || {
            let left = self.stream().await?.cached_info().state.messages;
            Ok((left <= keep.unsigned_abs()).then_some(()).ok_or(left))
        })
        .await?;
        self.update_stream(&kept).await
    }

    /// Returns the stream's messages of `tally`: version and payload, in order.
    pub(super) async fn stored(&self, tally: &str) -> Result<Vec<(i64, Counted)>> {
        let stream = self.stream().await?;
        let state = &stream.cached_info().state;
        let mut stored = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await?;
            let fact: Counted = prost::Message::decode(message.payload)?;
            let version = message.headers.get("Mesh-Version").context("no version")?;
            if fact.tally == tally {
                stored.push((version.as_str().parse()?, fact));
            }
        }
        Ok(stored)
    }

    /// Publishes a message without the outbox.
    pub(super) async fn inject(&self, tally: &str, version: i64, payload: Vec<u8>) -> Result<()> {
        let client = connect(&self.settings.nats_url).await?;
        let subject = subject(tally);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("ce-type", <Counted as contract::Event>::TYPE);
        headers.insert("Mesh-Version", version.to_string());
        async_nats::jetstream::new(client)
            .publish_with_headers(subject, headers, payload.into())
            .await?
            .await?;
        Ok(())
    }

    /// Runs `role` in a child process that aborts at `point`.
    pub(super) async fn crash(&self, role: &str, point: &str) -> Result<()> {
        let mut child = self.child(role)?;
        child.env("EVENTS_TEST_CRASH", point);
        let output = tokio::task::spawn_blocking(move || child.output()).await??;
        ensure!(
            aborted(output.status),
            "{role} did not crash at {point}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Runs `role` in a child process, and stops it with SIGSTOP once it holds the lease.
    pub(super) async fn hang(&self, role: &str) -> Result<Hanging> {
        let mut child = self.child(role)?;
        let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let hanging = Hanging(child);
        until("the lease is taken", async || {
            let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM events.lease)")
                .fetch_one(&self.producer)
                .await?;
            Ok(taken.then_some(()).ok_or(()))
        })
        .await?;
        hanging.signal("STOP")?;
        Ok(hanging)
    }

    fn child(&self, role: &str) -> Result<Command> {
        let mut child = Command::new(std::env::current_exe()?);
        child
            .args([
                "--exact",
                "events::crash::child",
                "--ignored",
                "--nocapture",
            ])
            .env("EVENTS_TEST_ROLE", role)
            .env("EVENTS_TEST_NATS", &self.settings.nats_url)
            .env(
                "EVENTS_TEST_WINDOW_MS",
                self.settings.stream_dedup_window_ms.to_string(),
            )
            .env("EVENTS_TEST_PRODUCER", self.stack.database_url("ingest")?)
            .env("EVENTS_TEST_AUDITOR", self.stack.database_url("orders")?);
        Ok(child)
    }
}

/// A child process that is stopped; killed when dropped.
pub(super) struct Hanging(Child);

// === impl Hanging ===

impl Hanging {
    pub(super) fn wake(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<()> {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status()?;
        ensure!(status.success(), "kill -s {name}: {status}");
        Ok(())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn snapshot(pool: &PgPool, tables: &[&str]) -> Result<()> {
    for table in tables {
        let copy = format!("CREATE TABLE {} AS TABLE {table}", saved(table));
        sqlx::query(sqlx::AssertSqlSafe(copy)).execute(pool).await?;
    }
    Ok(())
}

async fn restore(pool: &PgPool, tables: &[&str]) -> Result<()> {
    let mut tx = pool.begin().await?;
    for table in tables {
        let back = format!(
            "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {}",
            saved(table)
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(back))
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

fn saved(table: &str) -> String {
    format!("saved_{}", table.replace('.', "_"))
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    let status = copy.args(["-a", "-T"]).args([from, to]).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

fn aborted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}

// === impl Running ===

impl Running {
    fn start<F, R>(run: F) -> Self
    where
        F: FnOnce(CancellationToken) -> R,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(stop.clone()));
        Self { stop, task }
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }

    /// Ends the task where it stands, as a crash would.
    pub(super) fn abort(self) {
        self.task.abort();
    }
}

pub(super) fn counted(tally: &str, number: i64) -> Counted {
    Counted {
        tally: tally.to_owned(),
        number,
        note: String::new(),
    }
}

/// Returns the subject of `tally`, which needs no encoding in tests.
pub(super) fn subject(tally: &str) -> String {
    // FNV-1a, as the contract of subjects defines lanes.
    let hash = tally.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lane = (hash ^ (hash >> 32)) % 64;
    format!("evt.{CONTEXT}.{AGGREGATE}.{lane}.{tally}")
}

/// Returns a consumer that records its events.
pub(super) fn auditor() -> Consumer {
    picky_auditor(|_| Ok(()))
}

/// Returns a consumer that records its events, then asks `judge`: a rejection must be rolled back.
pub(super) fn picky_auditor(
    judge: impl Fn(&Counted) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> Consumer {
    let judge = Arc::new(judge);
    Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on::<Counted>(move |tx, fact| {
        let judge = judge.clone();
        Box::pin(async move {
            sqlx::query("INSERT INTO applied (tally, number) VALUES ($1, $2)")
                .bind(&fact.tally)
                .bind(fact.number)
                .execute(tx)
                .await?;
            judge(&fact)
        })
    })
}

/// Rejects the first `times` calls.
pub(super) fn failing(times: u32) -> impl Fn() -> Result<(), HandlerError> + Send + Sync {
    let calls = AtomicU32::new(0);
    move || {
        if calls.fetch_add(1, Ordering::SeqCst) < times {
            return Err(HandlerError::transient("not yet"));
        }
        Ok(())
    }
}

/// Polls `probe` until it returns a value; panics with the last state after too long.
pub(super) async fn until<T, S: std::fmt::Debug>(
    what: &str,
    probe: impl AsyncFn() -> Result<Result<T, S>>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut interval = tokio::time::interval(POLL);
    loop {
        interval.tick().await;
        match probe().await? {
            Ok(answer) => return Ok(answer),
            Err(seen) if Instant::now() > deadline => {
                anyhow::bail!("waited too long until {what}; last seen: {seen:?}")
            }
            Err(_) => {}
        }
    }
}

/// Connects the child process of a crash test by the variables of [`Desk::crash`].
pub(super) async fn bus_of(database: &str) -> Result<Bus> {
    let database_url = std::env::var(database)?;
    let settings = Settings {
        nats_url: std::env::var("EVENTS_TEST_NATS")?,
        stream_dedup_window_ms: std::env::var("EVENTS_TEST_WINDOW_MS")?.parse()?,
        consumer_ack_wait_ms: 2000,
        ..Settings::default()
    };
    Ok(events::connect(&settings, PgPool::connect(&database_url).await?).await?)
}
