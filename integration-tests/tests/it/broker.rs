//! The broker's users: a service publishes its own facts only, and no one takes facts away but by
//! rebuilding a stream.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, ServerAddr};
use events::{Bus, Settings};
use integration_tests::{Mesh, eventually};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const STREAM: &str = "EVT_INGEST";
const SUBJECT: &str = "evt.ingest.note.0.a";

/// Event: a note was taken.
#[derive(Clone, PartialEq, prost::Message)]
struct NoteTaken {
    #[prost(string, tag = "1")]
    note: String,
}

impl contract::Event for NoteTaken {
    const TYPE: &'static str = "ingest.v1.NoteTaken";
    const CONTEXT: &'static str = "ingest";
    const AGGREGATE: &'static str = "note";

    fn key(&self) -> &str {
        &self.note
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_publishes_its_own_facts_and_takes_none_away() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
    let stack = mesh.stack();
    let pool = PgPool::connect(&stack.database_url("ingest")?).await?;
    events::MIGRATIONS.run(&pool).await?;
    desk::MIGRATIONS.run(&pool).await?;
    let settings = |user: &str| {
        anyhow::Ok(Settings {
            nats_url: stack.nats_url(user)?,
            ..Settings::default()
        })
    };
    let (ingest, stop) = (
        events::connect(&settings("ingest")?, pool.clone()).await?,
        CancellationToken::new(),
    );
    let (relay, stopping) = (ingest.clone(), stop.clone());
    let relay = tokio::spawn(async move { relay.run_relay(stopping).await });
    let operator = jetstream(&mesh, "operator").await?;
    for note in ["a", "b"] {
        let mut tx = pool.begin().await?;
        let fact = NoteTaken {
            note: note.to_owned(),
        };
        events::publish(&mut tx, &fact).await?;
        tx.commit().await?;
        ingest.wake().await;
    }
    eventually("both facts are in the stream", async || {
        holds(&operator, 2).await
    })
    .await?;

    let payments = jetstream(&mesh, "payments").await?;
    let foreign = payments.publish(SUBJECT, "x".into()).await?.await;
    assert!(foreign.is_err(), "{foreign:?}");
    for user in ["payments", "ingest"] {
        let service = jetstream(&mesh, user).await?;
        let stream = service.get_stream_no_info(STREAM).await?;
        assert!(stream.purge().await.is_err(), "{user} purges");
        assert!(
            stream.delete_message(1).await.is_err(),
            "{user} deletes a message"
        );
        assert!(
            service.delete_stream(STREAM).await.is_err(),
            "{user} deletes"
        );
    }
    // The stream itself refuses the operator too.
    let stream = operator.get_stream(STREAM).await?;
    assert!(stream.purge().await.is_err());
    assert!(stream.delete_message(1).await.is_err());
    holds(&operator, 2).await?;

    let by_operator = events::connect(&settings("operator")?, pool.clone()).await?;
    rebuilt(&pool, &ingest, &by_operator).await?;
    eventually("both facts are there again", async || {
        holds(&operator, 2).await
    })
    .await?;
    stop.cancel();
    Ok(relay.await??)
}

/// Rebuilds the stream, which the service may not do; each attempt leaves a row of audit.
async fn rebuilt(pool: &PgPool, service: &Bus, operator: &Bus) -> Result<()> {
    let (operator_name, reason) = ("mesh", "the disk was replaced");
    for bus in [service, operator] {
        let rebuilt = desk::rebuild(pool, bus, operator_name, "ingest", reason).await;
        assert_eq!(rebuilt.ok(), std::ptr::eq(bus, operator).then_some(2));
    }
    let acts: Vec<(String, String, String, String, String)> =
        sqlx::query_as("SELECT operator, action, scope, reason, outcome FROM desk.act ORDER BY id")
            .fetch_all(pool)
            .await?;
    assert_eq!(acts.len(), 2);
    assert!(acts[0].4.starts_with("failed: "), "{acts:?}");
    let done = (
        "mesh",
        "rebuild",
        "ingest",
        reason,
        "2 facts to publish again",
    );
    let (operator_name, action, scope, why, outcome) = &acts[1];
    assert_eq!(
        (&**operator_name, &**action, &**scope, &**why, &**outcome),
        done
    );
    Ok(())
}

/// Connects with the user and the password of a URL, which the client itself ignores.
pub(super) async fn connect(url: &str) -> Result<Client> {
    let address: ServerAddr = url.parse()?;
    let user = address.username().context("no user")?.to_owned();
    let password = address.password().context("no password")?.to_owned();
    let options = ConnectOptions::with_user_and_password(user, password);
    options.connect(url).await.context("connecting")
}

/// Connects as `user`. What the server refuses is not answered, so requests are short.
async fn jetstream(mesh: &Mesh, user: &str) -> Result<Context> {
    let url = mesh.stack().nats_url(user)?;
    let client = connect(&url).await?;
    let timeout = Duration::from_secs(2);
    Ok(ContextBuilder::new()
        .timeout(timeout)
        .ack_timeout(timeout)
        .build(client))
}

async fn holds(operator: &Context, messages: u64) -> Result<()> {
    let stream = operator.get_stream(STREAM).await?;
    let held = stream.cached_info().state.messages;
    ensure!(held == messages, "{held} messages");
    Ok(())
}
