//! The place of a fault: two databases, a broker, a producer and a consumer behind proxies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fixture::commands::Verb;
use fixture::fact::{CONTEXT, Counted, STREAM};
use mesh::home::{Home, StateDir};
use mesh::project::{NATS, POSTGRES};
use mesh::{Stack, StackOptions, Ui};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::history::{Entry, History};
use super::points::Role;
use super::process::{Process, Setup};
use super::proxy::{Flow, Proxy};

/// Interval between two looks at the history.
const POLL: Duration = Duration::from_millis(100);

/// Where a relay publishes.
const PUBLISHES: &str = "events.relay.before_publish";
/// Time within which both relays would come there: twice the longest pause of a relay, and less
/// than the lease.
const OVERLAP: Duration = Duration::from_millis(600);

/// Variables of programs whose clock can be set; see the module of faults.
pub(super) type Variables = Vec<(String, String)>;

/// Engines and processes of their own for one fault after the other.
#[derive(Debug)]
pub(super) struct Arena {
    // Processes drop first.
    pub(super) producer: Option<Process>,
    pub(super) consumer: Option<Process>,
    /// Takes over from one of them.
    pub(super) second: Option<Process>,
    links: Links,
    /// The producer's Postgres, and the broker.
    pub(super) ours: Stack,
    /// The consumer's Postgres.
    pub(super) theirs: Stack,
    program: PathBuf,
    variables: Variables,
    omitted: Option<&'static str>,
}

#[derive(Debug)]
struct Links {
    producer_database: Proxy,
    producer_broker: Proxy,
    consumer_database: Proxy,
    consumer_broker: Proxy,
}

// === impl Arena ===

impl Arena {
    /// Starts engines and processes; `of_processes` and `of_postgres` are more variables for them.
    pub(super) async fn open(
        home: &Home,
        program: &Path,
        of_processes: Variables,
        of_postgres: Variables,
        omitted: Option<&'static str>,
    ) -> Result<Self> {
        let launch = async || {
            let mut options = StackOptions::new(home)?.engines_only();
            for (key, value) in &of_postgres {
                options = options.env(POSTGRES, key, value);
            }
            Stack::launch(home, StateDir::scratch(home)?, options, Ui::Quiet).await
        };
        let (ours, theirs) = tokio::try_join!(launch(), launch())?;
        let links = Links {
            producer_database: Proxy::before(ours.address(POSTGRES)?).await?,
            producer_broker: Proxy::before(ours.address(NATS)?).await?,
            consumer_database: Proxy::before(theirs.address(POSTGRES)?).await?,
            consumer_broker: Proxy::before(ours.address(NATS)?).await?,
        };
        let mut arena = Self {
            producer: None,
            consumer: None,
            second: None,
            links,
            ours,
            theirs,
            program: program.to_owned(),
            variables: of_processes,
            omitted,
        };
        // One after the other: both declare the stream.
        for side in [Role::Producer, Role::Consumer] {
            let process = arena.start(side, true, None).await?;
            *arena.slot(side) = Some(process);
        }
        Ok(arena)
    }

    /// Starts a process, behind the proxies or beside them, and holds it at the first visit of
    /// `armed`.
    pub(super) async fn start(
        &self,
        side: Role,
        is_proxied: bool,
        armed: Option<&str>,
    ) -> Result<Process> {
        let (role, database, database_link, broker_link) = match side {
            Role::Producer => (
                "producer",
                self.database_url(side)?,
                &self.links.producer_database,
                &self.links.producer_broker,
            ),
            Role::Consumer => (
                "consumer",
                self.database_url(side)?,
                &self.links.consumer_database,
                &self.links.consumer_broker,
            ),
        };
        let broker = self.ours.nats_url("operator")?;
        let through = |url: String, link: &Proxy, real: SocketAddr| match is_proxied {
            true => url.replace(&real.to_string(), &link.address().to_string()),
            false => url,
        };
        let setup = Setup {
            program: &self.program,
            role,
            database_url: through(database, database_link, self.stack(side).address(POSTGRES)?),
            nats_url: through(broker, broker_link, self.ours.address(NATS)?),
            log: &self.ours.dir().join("logs").join(format!("{role}.log")),
            variables: self.variables.clone(),
            omitted: self.omitted,
        };
        Process::start(&setup, armed).await
    }

    pub(super) fn slot(&mut self, side: Role) -> &mut Option<Process> {
        match side {
            Role::Producer => &mut self.producer,
            Role::Consumer => &mut self.consumer,
        }
    }

    pub(super) fn process(&mut self, side: Role) -> Result<&mut Process> {
        self.slot(side).as_mut().context("no process")
    }

    pub(super) fn producer(&mut self) -> Result<&mut Process> {
        self.process(Role::Producer)
    }

    pub(super) fn stack(&self, side: Role) -> &Stack {
        match side {
            Role::Producer => &self.ours,
            Role::Consumer => &self.theirs,
        }
    }

    /// Sets the links of a process to its database or to the broker.
    pub(super) fn link(&self, side: Role, is_broker: bool, flow: Flow) {
        let link = match (side, is_broker) {
            (Role::Producer, false) => &self.links.producer_database,
            (Role::Producer, true) => &self.links.producer_broker,
            (Role::Consumer, false) => &self.links.consumer_database,
            (Role::Consumer, true) => &self.links.consumer_broker,
        };
        link.set(flow);
    }

    fn database_url(&self, side: Role) -> Result<String> {
        self.stack(side).database_url(match side {
            Role::Producer => "ingest",
            Role::Consumer => "orders",
        })
    }

    async fn connect(&self, side: Role) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.database_url(side)?).await?)
    }

    /// Waits until all facts of `prefix` are published and applied once and in order; does what an
    /// operator does about stopped and parked keys. Returns what is wrong, when time is over or
    /// time can't mend it.
    pub(super) async fn settle(
        &mut self,
        prefix: &str,
        forgets: bool,
        within: Duration,
    ) -> Result<Vec<String>> {
        let deadline = Instant::now() + within;
        loop {
            let looked = self.look(prefix, forgets).await;
            let is_late = Instant::now() > deadline;
            match looked {
                Ok(problems) if problems.is_empty() => return Ok(Vec::new()),
                Ok(problems) if is_late => return Ok(problems),
                Err(error) if is_late => return Err(error),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn look(&mut self, prefix: &str, forgets: bool) -> Result<Vec<String>> {
        let history = self.history(prefix).await?;
        let problems = history.problems(forgets);
        let mut shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if problems.iter().any(|problem| !problem.may_pass()) {
            return Ok(shown);
        }
        for (side, verb) in self.decisions(prefix).await? {
            shown.push(format!("waits for an operator: {verb:?}"));
            let process = self.process(side)?;
            if let Err(error) = process.run(verb).await {
                shown.push(format!("{error:#}"));
            }
        }
        Ok(shown)
    }

    /// Returns what is left for an operator to decide.
    async fn decisions(&self, prefix: &str) -> Result<Vec<(Role, Verb)>> {
        let mut decisions = Vec::new();
        let stopped = self.keys(Role::Producer, STOPPED, prefix).await?;
        let resumes = stopped.into_iter().map(|key| Verb::Resume { key });
        decisions.extend(resumes.map(|verb| (Role::Producer, verb)));
        let replays = self.parked(prefix).await?;
        let replays = replays.into_iter().map(|key| Verb::Replay { key });
        decisions.extend(replays.map(|verb| (Role::Consumer, verb)));
        Ok(decisions)
    }

    /// Waits until a key of `prefix` is parked, and returns it.
    pub(super) async fn parks(&self, prefix: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(key) = self.parked(prefix).await?.pop() {
                return Ok(key);
            }
            if Instant::now() > deadline {
                bail!("no key of {prefix} was parked");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the parked keys of `prefix`.
    async fn parked(&self, prefix: &str) -> Result<Vec<String>> {
        self.keys(Role::Consumer, PARKED, prefix).await
    }

    async fn keys(&self, side: Role, query: &'static str, prefix: &str) -> Result<Vec<String>> {
        let mut connection = self.connect(side).await?;
        let keys = sqlx::query_scalar(query).bind(format!("{prefix}%"));
        Ok(keys.fetch_all(&mut connection).await?)
    }

    /// Reads the history of the keys with `prefix`.
    pub(super) async fn history(&self, prefix: &str) -> Result<History> {
        let written = self.entries(Role::Producer, WRITTEN, prefix).await?;
        let mut keys: Vec<&str> = written.iter().map(|entry| entry.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(History {
            stored: self.stored(&keys).await?,
            applied: self.entries(Role::Consumer, APPLIED, prefix).await?,
            written,
        })
    }

    async fn entries(&self, side: Role, query: &'static str, prefix: &str) -> Result<Vec<Entry>> {
        let mut connection = self.connect(side).await?;
        let rows = sqlx::query(query).bind(format!("{prefix}%"));
        let entry = |row: &sqlx::postgres::PgRow| {
            Ok(Entry {
                key: row.try_get(0)?,
                fact: row.try_get(1)?,
            })
        };
        let rows = rows.fetch_all(&mut connection).await?;
        rows.iter().map(entry).collect()
    }

    async fn stored(&self, keys: &[&str]) -> Result<Vec<Entry>> {
        let url = self.ours.nats_url("operator")?;
        let (user, password) = credentials(&url)?;
        let options = async_nats::ConnectOptions::with_user_and_password(user, password);
        let client = options.connect(&url).await?;
        let stream = async_nats::jetstream::new(client)
            .get_stream(STREAM)
            .await?;
        let mut stored = Vec::new();
        for key in keys {
            let subject = format!("evt.{CONTEXT}.*.*.{key}");
            let mut sequence = 1;
            loop {
                let next = stream.raw_message_builder().sequence(sequence);
                let message = match next.next_by_subject(subject.as_str()).send().await {
                    Ok(message) => message,
                    Err(error) if is_end(&error) => break,
                    Err(error) => return Err(error.into()),
                };
                sequence = message.sequence + 1;
                let fact: Counted = prost::Message::decode(message.payload)?;
                stored.push(Entry {
                    key: fact.key,
                    fact: fact.fact,
                });
            }
        }
        Ok(stored)
    }

    /// Holds the producer and the second one where they publish, while `write` is done: only one
    /// may come there. Returns a problem otherwise.
    pub(super) async fn owners(&mut self, write: Verb) -> Result<Option<String>> {
        let second = self.second.as_mut().context("no second process")?;
        let first = self.producer.as_mut().context("no process")?;
        for process in [&mut *first, &mut *second] {
            process.arm(PUBLISHES, 1).await?;
        }
        // It waits for nothing: the facts are published later.
        first.run(write).await?;
        let held = tokio::time::timeout(OVERLAP, async {
            tokio::join!(first.is_held(PUBLISHES), second.is_held(PUBLISHES))
        });
        let held = held.await;
        for process in [first, second] {
            process.release(PUBLISHES).await?;
        }
        Ok(matches!(held, Ok((true, true))).then(|| "two relays own the outbox".to_owned()))
    }

    /// Checks that no process has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        for side in [Role::Producer, Role::Consumer] {
            if self.process(side)?.has_ended() {
                bail!("the {side:?} has ended by itself");
            }
        }
        Ok(())
    }
}

const STOPPED: &str = "SELECT key FROM events.stopped WHERE resolution IS NULL AND key LIKE $1";
const PARKED: &str = "SELECT key FROM events.inbox WHERE parked AND key LIKE $1";
const WRITTEN: &str = "SELECT key, fact FROM written WHERE key LIKE $1 ORDER BY key, number";
const APPLIED: &str = "SELECT key, fact FROM effect WHERE key LIKE $1 ORDER BY id";

fn is_end(error: &async_nats::jetstream::stream::LastRawMessageError) -> bool {
    use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
    error.kind() == NoMessageFound
}

/// Returns user and password of a URL, which the client itself ignores.
fn credentials(url: &str) -> Result<(String, String)> {
    let address: async_nats::ServerAddr = url.parse()?;
    let found = address.username().zip(address.password());
    let (user, password) = found.context("no user in the URL of the broker")?;
    Ok((user.to_owned(), password.to_owned()))
}
