//! The saga library on a database: batches, compensation, deadlines, versions, operators.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::{Mesh, eventually};
use saga::{Answer, Definition, Instance, Move, Runner, Saga, Settings, Stage, desk};
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
enum Step {
    Flight,
    Seats,
    Hotel,
    CancelFlight,
    CancelHotel,
}

const STAGES: &[Stage<Step>] = &[
    Stage::call(Step::Flight)
        .until_deadline()
        .undone_by(Step::CancelFlight),
    Stage::local(Step::Seats),
    Stage::call(Step::Hotel)
        .until_deadline()
        .undone_by(Step::CancelHotel),
];

const fn trip(version: i32) -> Definition<Step> {
    Definition {
        name: "TRIP",
        version,
        stages: STAGES,
    }
}

/// The behaviour of a trip's peers.
#[derive(Clone, Debug, Default)]
struct Peers {
    /// Error of a whole call that has this key among others.
    rejects: Option<&'static str>,
    /// Final error of this step for this key.
    fails: Option<(Step, &'static str)>,
    /// No answer to this step.
    silent: Option<Step>,
    /// Number of calls by instance and step.
    calls: BTreeMap<(Uuid, &'static str), u32>,
    /// Size of the largest batch.
    largest: usize,
}

#[derive(Clone, Debug, Default)]
struct Trip<const VERSION: i32>(Arc<Mutex<Peers>>);

impl<const VERSION: i32> Saga for Trip<VERSION> {
    type Step = Step;
    type Error = sqlx::Error;

    const DEFINITION: Definition<Step> = trip(VERSION);

    async fn call(&self, step: Step, due: &[Instance<Step>]) -> Result<Vec<Answer>, Status> {
        let mut peers = self.0.lock().unwrap();
        peers.largest = peers.largest.max(due.len());
        if peers.silent == Some(step) {
            return Err(Status::unavailable("nobody listens"));
        }
        let is_rejected = |instance: &Instance<Step>| peers.rejects == Some(&*instance.key);
        if step == Step::Hotel && due.iter().any(is_rejected) {
            return Err(Status::invalid_argument(
                "a request of the batch is invalid",
            ));
        }
        for instance in due {
            *peers.calls.entry((instance.id, step.into())).or_default() += 1;
        }
        let answer = |instance: &Instance<Step>| match peers.fails {
            Some((failing, key)) if failing == step && key == instance.key => {
                Answer::failed("BROKEN")
            }
            _ => Answer::Done,
        };
        Ok(due.iter().map(answer).collect())
    }

    async fn decide(
        &self,
        _: &mut PgConnection,
        _: Step,
        due: &[Instance<Step>],
    ) -> Result<Vec<Answer>, sqlx::Error> {
        let answer = |instance: &Instance<Step>| match instance.key.as_str() {
            "no seats" => Answer::refused("FULL", "NO_SEATS"),
            _ => Answer::Done,
        };
        Ok(due.iter().map(answer).collect())
    }

    async fn record(&self, tx: &mut PgConnection, moves: &[Move<Step>]) -> Result<(), sqlx::Error> {
        for ended in moves.iter().filter(|step| step.next.is_none()) {
            let end = ended.outcome.as_ref();
            sqlx::query("INSERT INTO trip_end (id, state, reason) VALUES ($1, $2, $3)")
                .bind(ended.id)
                .bind(end.map_or("BOOKED", |end| &end.end))
                .bind(end.map(|end| &end.reason))
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}

/// A database with the tables of the library, and runners on it.
struct Agency {
    _mesh: Mesh,
    pool: PgPool,
    stop: CancellationToken,
    runners: JoinSet<()>,
}

impl Agency {
    async fn open() -> Result<Self> {
        let mesh = Mesh::start_with(Mesh::options()?.engines_only()).await?;
        let url = mesh.stack().database_url("postgres")?;
        let pool = PgPoolOptions::new()
            .max_connections(6)
            .connect(&url)
            .await?;
        saga::MIGRATIONS.run(&pool).await?;
        let table = "CREATE TABLE trip_end (id uuid PRIMARY KEY, state text NOT NULL, reason text)";
        sqlx::query(table).execute(&pool).await?;
        Ok(Self {
            _mesh: mesh,
            pool,
            stop: CancellationToken::new(),
            runners: JoinSet::new(),
        })
    }

    fn run<const VERSION: i32>(&mut self, trip: &Trip<VERSION>, settings: Settings) {
        let runner = Runner::new(trip.clone(), self.pool.clone(), settings);
        let stop = self.stop.clone();
        self.runners.spawn(async move {
            let Ok(()) = runner.run(stop).await;
        });
    }

    async fn begin(&self, version: i32, keys: &[&str], deadline: Duration) -> Result<Vec<Uuid>> {
        let subjects: Vec<_> = keys.iter().map(|key| (Uuid::new_v4(), *key)).collect();
        let mut tx = self.pool.begin().await?;
        saga::begin(&mut tx, &trip(version), &subjects, deadline).await?;
        tx.commit().await?;
        Ok(subjects.into_iter().map(|(id, _)| id).collect())
    }

    /// Waits until the trip has ended; returns its end and the reason.
    async fn end(&self, id: Uuid) -> Result<(String, Option<String>)> {
        eventually("the end of a trip", async || {
            let end = sqlx::query_as("SELECT state, reason FROM trip_end WHERE id = $1");
            let end = end.bind(id).fetch_optional(&self.pool).await?;
            match end {
                Some(end) => Ok(end),
                None => anyhow::bail!("{:?}", self.steps(id).await?),
            }
        })
        .await
    }

    async fn stuck(&self, id: Uuid) -> Result<desk::Report> {
        eventually("a trip that needs an operator", async || {
            let stuck = desk::stuck(&self.pool, Some("TRIP"), None, 10).await?;
            let found = stuck.into_iter().find(|stuck| stuck.id == id);
            found.context("not stuck")
        })
        .await
    }

    /// Returns the log of a trip: step and answer.
    async fn steps(&self, id: Uuid) -> Result<Vec<(String, String)>> {
        let taken = desk::history(&self.pool, "TRIP", id, 100).await?;
        Ok(taken
            .into_iter()
            .map(|one| (one.step, one.answer))
            .collect())
    }

    async fn close(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.runners.join_next().await {
            ended.unwrap();
        }
    }
}

fn booked() -> (String, Option<String>) {
    ("BOOKED".to_owned(), None)
}

fn ended(state: &str, reason: &str) -> (String, Option<String>) {
    (state.to_owned(), Some(reason.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runners_take_every_step_of_every_instance_once() -> Result<()> {
    let mut agency = Agency::open().await?;
    let keys: Vec<_> = (0..300).map(|n| format!("t-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let ids = agency.begin(1, &keys, HOUR).await?;
    let trip = Trip::<1>::default();
    for _ in 0..3 {
        agency.run(&trip, Settings::default());
    }
    for id in ids {
        assert_eq!(agency.end(id).await?, booked());
    }
    let peers = trip.0.lock().unwrap().clone();
    assert!(peers.calls.values().all(|calls| *calls == 1));
    assert_eq!(peers.calls.len(), 600);
    assert!(peers.largest > 1, "no batch had two instances");
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_its_batch_fails_alone() -> Result<()> {
    let mut agency = Agency::open().await?;
    let ids = agency
        .begin(1, &["a", "b", "bad", "c", "d", "e", "f"], HOUR)
        .await?;
    let trip = Trip::<1>::default();
    trip.0.lock().unwrap().rejects = Some("bad");
    agency.run(&trip, Settings::default());
    for (index, id) in ids.iter().enumerate() {
        let end = match index {
            2 => ended("FAILED", "invalid argument"),
            _ => booked(),
        };
        let found = agency.end(*id).await?;
        assert_eq!(found.0, end.0, "{found:?}");
    }
    let expected = [
        ("FLIGHT", "DONE"),
        ("SEATS", "DONE"),
        ("HOTEL", "FAILED"),
        ("CANCEL_HOTEL", "DONE"),
        ("CANCEL_FLIGHT", "DONE"),
    ];
    let expected = expected.map(|(step, answer)| (step.to_owned(), answer.to_owned()));
    assert_eq!(agency.steps(ids[2]).await?, expected);
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_refusal_undoes_the_steps_before_it() -> Result<()> {
    let mut agency = Agency::open().await?;
    let ids = agency.begin(1, &["no seats"], HOUR).await?;
    agency.run(&Trip::<1>::default(), Settings::default());
    assert_eq!(agency.end(ids[0]).await?, ended("FULL", "NO_SEATS"));
    let steps = agency.steps(ids[0]).await?;
    let (last, _) = steps.last().context("steps")?;
    assert_eq!((steps.len(), last.as_str()), (3, "CANCEL_FLIGHT"));
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_that_can_not_succeed_waits_for_an_operator() -> Result<()> {
    let mut agency = Agency::open().await?;
    let trip = Trip::<1>::default();
    trip.0.lock().unwrap().fails = Some((Step::CancelFlight, "no seats"));
    agency.run(&trip, Settings::default());
    let ids = agency.begin(1, &["no seats", "no seats"], HOUR).await?;
    for id in &ids {
        let stuck = agency.stuck(*id).await?;
        assert_eq!(
            (&*stuck.step, stuck.problem.as_deref()),
            ("CANCEL_FLIGHT", Some("BROKEN"))
        );
        assert_eq!(stuck.outcome.as_deref(), Some("FULL"));
    }

    // Pages: each instance is on one of them.
    let first = desk::stuck(&agency.pool, None, None, 1).await?;
    let second = desk::stuck(&agency.pool, None, Some(&first[0].cursor()), 1).await?;
    let listed = [first[0].id, second[0].id];
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed:?}");
    let last = desk::stuck(&agency.pool, None, Some(&second[0].cursor()), 1).await?;
    assert_eq!(last, []);

    // Given up: the operator has cancelled the flight by telephone.
    let give_up =
        async |step| desk::give_up(&agency.pool, "TRIP", ids[0], step, "by telephone").await;
    ensure!(!give_up("HOTEL").await?, "it is at another step");
    ensure!(give_up("CANCEL_FLIGHT").await?);
    assert_eq!(agency.end(ids[0]).await?, ended("FULL", "NO_SEATS"));
    let steps = agency.steps(ids[0]).await?;
    assert_eq!(steps.last().unwrap().1, "GIVEN_UP");

    // Resumed after the peer was mended.
    trip.0.lock().unwrap().fails = None;
    ensure!(desk::resume(&agency.pool, "TRIP", ids[1]).await?);
    assert_eq!(agency.end(ids[1]).await?, ended("FULL", "NO_SEATS"));
    ensure!(!desk::resume(&agency.pool, "TRIP", ids[1]).await?);
    assert_eq!(desk::stuck(&agency.pool, None, None, 10).await?, []);
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_without_an_answer_ends_at_the_deadline() -> Result<()> {
    let mut agency = Agency::open().await?;
    let trip = Trip::<1>::default();
    trip.0.lock().unwrap().silent = Some(Step::Hotel);
    agency.run(&trip, Settings::default());
    let ids = agency
        .begin(1, &["late"], Duration::from_millis(500))
        .await?;
    assert_eq!(
        agency.end(ids[0]).await?,
        ended("FAILED", "HOTEL_TIMED_OUT")
    );
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_without_an_answer_needs_an_operator_after_its_attempts() -> Result<()> {
    let mut agency = Agency::open().await?;
    let trip = Trip::<1>::default();
    trip.0.lock().unwrap().silent = Some(Step::CancelFlight);
    let settings = Settings {
        max_attempts: 3,
        ..Settings::default()
    };
    agency.run(&trip, settings);
    let ids = agency.begin(1, &["no seats"], HOUR).await?;
    let stuck = agency.stuck(ids[0]).await?;
    assert_eq!(stuck.attempts, 3);
    assert!(
        stuck.problem.as_deref().unwrap().contains("nobody listens"),
        "{stuck:?}"
    );
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_ends_by_the_version_that_it_began_with() -> Result<()> {
    let mut agency = Agency::open().await?;
    let old = agency.begin(1, &["old"], HOUR).await?;
    let new = agency.begin(2, &["new"], HOUR).await?;
    let (first, second) = (Trip::<1>::default(), Trip::<2>::default());
    agency.run(&second, Settings::default());
    assert_eq!(agency.end(new[0]).await?, booked());
    assert_eq!(agency.steps(old[0]).await?, []);
    agency.run(&first, Settings::default());
    assert_eq!(agency.end(old[0]).await?, booked());
    let calls = first.0.lock().unwrap().calls.clone();
    assert!(calls.keys().all(|(id, _)| *id == old[0]));
    agency.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_long_ago_is_deleted_with_its_log() -> Result<()> {
    let mut agency = Agency::open().await?;
    let ids = agency.begin(1, &["over"], HOUR).await?;
    let settings = Settings {
        keep_ended_s: 1,
        ..Settings::default()
    };
    agency.run(&Trip::<1>::default(), settings);
    assert_eq!(agency.end(ids[0]).await?, booked());
    eventually("nothing is left", async || {
        let rows = "SELECT (SELECT count(*) FROM saga.instance) + (SELECT count(*) FROM saga.log)";
        let rows: i64 = sqlx::query_scalar(rows).fetch_one(&agency.pool).await?;
        ensure!(rows == 0, "{rows} rows");
        Ok(())
    })
    .await?;
    agency.close().await;
    Ok(())
}
