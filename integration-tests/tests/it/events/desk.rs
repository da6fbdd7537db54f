//! Engines of a test's own, a producer's and a consumer's database on them, and a fact that is no domain's.

use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::stream::Stream;
use events::{Bus, Consumer, Error, HandlerError, Settings};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long anything may take; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub(super) const CONTEXT: &str = "counting";
pub(super) const AGGREGATE: &str = "tally";
const STREAM: &str = "EVT_COUNTING";
pub(super) const CONSUMER: &str = "audit.tallies";

/// Somebody counted on.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Counted {
    #[prost(string, tag = "1")]
    pub(super) tally: String,
    #[prost(int64, tag = "2")]
    pub(super) number: i64,
}

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

/// Something that runs until it is dropped or stopped.
pub(super) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

// === impl Desk ===

impl Desk {
    pub(super) async fn start() -> Result<Self> {
        let home = Home::of_checkout()?;
        let state_dir = StateDir::scratch(&home)?;
        let options = StackOptions::new()?.engines_only();
        let stack = Stack::launch(&home, state_dir, options, Ui::detect()).await?;
        let settings = Settings {
            nats_url: stack.nats_url()?,
            // The server's memory of message ids must not be what makes the tests pass.
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

    pub(super) async fn relay(&self) -> Result<Running> {
        let bus = events::connect(&self.settings, self.producer.clone()).await?;
        Ok(Running::start(move |stop| async move {
            bus.run_relay(stop).await
        }))
    }

    pub(super) async fn audit(&self, consumer: Consumer) -> Result<Running> {
        let bus = events::connect(&self.settings, self.auditor.clone()).await?;
        Ok(Running::start(move |stop| async move {
            bus.run_consumer(consumer, stop).await
        }))
    }

    /// The numbers applied to `tally`, in the order in which they were.
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

    pub(super) async fn stream(&self) -> Result<Stream> {
        let client = async_nats::connect(&self.settings.nats_url).await?;
        Ok(async_nats::jetstream::new(client)
            .get_stream(STREAM)
            .await?)
    }

    /// Everything that the stream holds for `tally`: version and payload, in order.
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

    /// Puts a message onto the stream past the outbox.
    pub(super) async fn inject(&self, tally: &str, version: i64, payload: Vec<u8>) -> Result<()> {
        let client = async_nats::connect(&self.settings.nats_url).await?;
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

    /// Runs `role` in a process of its own that aborts at the crash point `point`.
    pub(super) async fn crash(&self, role: &str, point: &str) -> Result<()> {
        let mut child = Command::new(std::env::current_exe()?);
        child
            .args([
                "--exact",
                "events::crash::child",
                "--ignored",
                "--nocapture",
            ])
            .env("EVENTS_TEST_ROLE", role)
            .env("EVENTS_TEST_CRASH", point)
            .env("EVENTS_TEST_NATS", &self.settings.nats_url)
            .env(
                "EVENTS_TEST_WINDOW_MS",
                self.settings.stream_dedup_window_ms.to_string(),
            )
            .env("EVENTS_TEST_PRODUCER", self.stack.database_url("ingest")?)
            .env("EVENTS_TEST_AUDITOR", self.stack.database_url("orders")?);
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
}

pub(super) fn counted(tally: &str, number: i64) -> Counted {
    Counted {
        tally: tally.to_owned(),
        number,
    }
}

/// The subject that the facts of `tally` share; tallies of the tests need no encoding.
pub(super) fn subject(tally: &str) -> String {
    // FNV-1a, as the contract of subjects defines lanes.
    let hash = tally.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lane = (hash ^ (hash >> 32)) % 64;
    format!("evt.{CONTEXT}.{AGGREGATE}.{lane}.{tally}")
}

/// A consumer that writes what it is given.
pub(super) fn auditor() -> Consumer {
    picky_auditor(|_| Ok(()))
}

/// A consumer that writes what it is given, then asks `judge`: a refusal must leave nothing behind.
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

/// Refuses the first `times` calls.
pub(super) fn failing(times: u32) -> impl Fn() -> Result<(), HandlerError> + Send + Sync {
    let calls = AtomicU32::new(0);
    move || {
        if calls.fetch_add(1, Ordering::SeqCst) < times {
            return Err(HandlerError::transient("not yet"));
        }
        Ok(())
    }
}

/// Asks `probe` until it answers, and says what it saw last when that takes too long.
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

/// The bus of a crash test's child process, from what [`Desk::crash`] has put into its environment.
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
