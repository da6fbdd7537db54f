//! The engines alone: the rows and facts of a run, written again by one fixed script.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use futures::future::try_join_all;
use mesh::Stack;
use mesh::project::POSTGRES;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};

/// The statements, in sections.
const SCRIPT: &str = include_str!("raw.sql");

/// Orders of a batch.
const BATCH: i64 = 128;

/// Most facts of one atomic publish, as the relay publishes them.
const PUBLISH: usize = 500;

/// Bound of one acknowledgement of the broker.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The user that may create streams.
const OPERATOR: &str = "operator";

/// The rows of one service, ready to be written again.
struct Replay {
    service: String,
    database: PgConnection,
    broker: async_nats::Client,
    /// The facts of each batch.
    facts: Vec<Vec<Fact>>,
    /// The last sequence of each subject.
    ends: HashMap<String, u64>,
}

struct Fact {
    subject: String,
    headers: HeaderMap,
    payload: bytes::Bytes,
}

/// Stops the services of a run and writes its rows and facts again, all services at once. Returns
/// orders per second.
///
/// # Errors
/// When an engine fails, or a table has not the rows of the run again.
pub(super) async fn measure(stack: &Stack, orders: i64) -> Result<f64> {
    let runs = |name: &str| stack.process(name).is_ok();
    for name in stack.project().names().filter(|name| runs(name)) {
        stack.stop(name).await?;
    }
    let batches = (orders / BATCH).max(1);
    let services = stack.project().services().iter();
    let services = services.filter(|service| runs(&service.name));
    let replays = services.map(|service| Replay::prepare(stack, &service.name, batches));
    let mut replays = try_join_all(replays).await?;
    let started = Instant::now();
    try_join_all(replays.iter_mut().map(Replay::run)).await?;
    let seconds = started.elapsed().as_secs_f64();
    for replay in &mut replays {
        let checked = sqlx::raw_sql(section("check")?).execute(&mut replay.database);
        checked.await.with_context(|| replay.service.clone())?;
    }
    Ok(orders as f64 / seconds)
}

// === impl Replay ===

impl Replay {
    async fn prepare(stack: &Stack, service: &str, batches: i64) -> Result<Self> {
        let owner: PgConnectOptions = stack.database_url(POSTGRES)?.parse()?;
        // The statements are known, and slow on purpose.
        let owner = owner.database(service).disable_statement_logging();
        let mut database = owner.connect().await?;
        sqlx::query("SELECT set_config('raw.batches', $1, false)")
            .bind(batches.to_string())
            .execute(&mut database)
            .await?;
        for name in ["stage", "facts", service, "statistics"] {
            sqlx::raw_sql(section(name)?)
                .execute(&mut database)
                .await
                .with_context(|| format!("{service}: section {name}"))?;
        }
        let broker = connect(stack).await?;
        jetstream::new(broker.clone())
            .create_stream(stream::Config {
                name: format!("RAW_{service}"),
                subjects: vec![format!("raw.{service}.>")],
                storage: stream::StorageType::File,
                allow_atomic_publish: true,
                ..stream::Config::default()
            })
            .await?;
        let facts = facts(&mut database, service, batches).await?;
        Ok(Self {
            service: service.to_owned(),
            database,
            broker,
            facts,
            ends: HashMap::new(),
        })
    }

    async fn run(&mut self) -> Result<()> {
        for (number, facts) in (1..).zip(std::mem::take(&mut self.facts)) {
            self.step("take", number).await?;
            self.step("write", number).await?;
            for facts in facts.chunks(PUBLISH) {
                self.publish(facts).await?;
            }
            if !facts.is_empty() {
                self.step("relayed", number).await?;
            }
            self.step("settle", number).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &str, number: i32) -> Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(format!("CALL raw.{step}($1)")))
            .bind(number)
            .execute(&mut self.database)
            .await
            .with_context(|| format!("{}: {step} of batch {number}", self.service))?;
        Ok(())
    }

    /// Publishes facts as one atomic batch; each subject must end where this run left it.
    async fn publish(&mut self, facts: &[Fact]) -> Result<()> {
        let id = format!("{}-{}", self.service, rand::random::<u64>());
        let mut seen = std::collections::HashSet::new();
        let mut answer = None;
        for (fact, sequence) in facts.iter().zip(1..) {
            let mut headers = fact.headers.clone();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", sequence.to_string());
            if seen.insert(&fact.subject) {
                let end = self.ends.get(&fact.subject).copied().unwrap_or(0);
                headers.insert("Nats-Expected-Last-Subject-Sequence", end.to_string());
            }
            let subject = fact.subject.clone();
            if sequence == facts.len() {
                headers.insert("Nats-Batch-Commit", "1");
                let request = async_nats::Request::new()
                    .headers(headers)
                    .payload(fact.payload.clone())
                    .timeout(Some(TIMEOUT));
                answer = Some(self.broker.send_request(subject, request).await?);
            } else {
                let published =
                    self.broker
                        .publish_with_headers(subject, headers, fact.payload.clone());
                published.await?;
            }
        }
        let Some(answer) = answer else {
            return Ok(());
        };
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        let Some(last) = answer["seq"].as_u64() else {
            bail!("{}: the broker refused a batch: {answer}", self.service);
        };
        let first = last + 1 - facts.len() as u64;
        for (fact, sequence) in facts.iter().zip(first..) {
            self.ends.insert(fact.subject.clone(), sequence);
        }
        Ok(())
    }
}

async fn connect(stack: &Stack) -> Result<async_nats::Client> {
    let url = stack.nats_url(OPERATOR)?;
    let address: async_nats::ServerAddr = url.parse()?;
    // The client itself ignores those of the URL.
    let (user, password) = (address.username(), address.password());
    let (user, password) = user.zip(password).context("a broker without users")?;
    let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
    Ok(options.connect(url).await?)
}

/// Reads the facts of the run by batch, with the headers that the relay gives them.
async fn facts(database: &mut PgConnection, service: &str, batches: i64) -> Result<Vec<Vec<Fact>>> {
    let rows = sqlx::query(
        "SELECT batch, aggregate, lane, key, version, type, traceparent, payload, created_at::text AS created_at,
                fact_id::text AS fact_id
         FROM staged.fact ORDER BY id",
    )
    .fetch_all(database)
    .await?;
    let mut facts: Vec<Vec<Fact>> = Vec::new();
    facts.resize_with(usize::try_from(batches)?, Vec::new);
    for row in rows {
        let key: String = row.try_get("key")?;
        let token: String =
            percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let (aggregate, lane): (String, i16) = (row.try_get("aggregate")?, row.try_get("lane")?);
        let id: String = row.try_get("fact_id")?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id.as_str());
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-id", id.as_str());
        headers.insert("ce-source", format!("/{service}"));
        headers.insert("ce-type", row.try_get::<String, _>("type")?);
        headers.insert("ce-subject", token.as_str());
        headers.insert("ce-time", row.try_get::<String, _>("created_at")?);
        headers.insert("content-type", "application/protobuf");
        headers.insert(
            "mesh-version",
            row.try_get::<i64, _>("version")?.to_string(),
        );
        if let Some(traceparent) = row.try_get::<Option<String>, _>("traceparent")? {
            headers.insert("traceparent", traceparent);
        }
        let batch = usize::try_from(row.try_get::<i32, _>("batch")?)?;
        ensure!((1..=facts.len()).contains(&batch), "batch {batch}");
        facts[batch - 1].push(Fact {
            subject: format!("raw.{service}.{aggregate}.{lane}.{token}"),
            headers,
            payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
        });
    }
    Ok(facts)
}

/// Returns a section of the script.
fn section(name: &str) -> Result<&'static str> {
    let (_, rest) = SCRIPT
        .split_once(&format!("-- === {name}\n"))
        .with_context(|| format!("the script has no section {name}"))?;
    Ok(rest
        .split_once("\n-- === ")
        .map_or(rest, |(section, _)| section))
}

#[cfg(test)]
mod tests {
    use mesh::project::Project;

    use super::*;

    #[test]
    fn the_script_has_a_section_for_every_service() {
        let project = Project::find(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        // The issuer does not run where callers need no tokens, and no upload passes the sources.
        let issuer = project.issuer().map(|issuer| issuer.service.as_str());
        let services = project
            .services()
            .iter()
            .map(|service| service.name.as_str())
            .filter(|name| Some(*name) != issuer && *name != "connect");
        for name in ["stage", "facts", "statistics", "check"]
            .into_iter()
            .chain(services)
        {
            assert!(!section(name).unwrap().trim().is_empty(), "{name}");
        }
    }
}
