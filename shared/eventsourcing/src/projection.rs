//! Projections: tables that follow the events, and their building from the first event.

use sqlx::{PgConnection, PgPool};

use crate::error::Error;
use crate::event::Stored;
use crate::generation::{self, Locked, Status};
use crate::horizon::Horizon;
use crate::store;

/// A table that follows the events of some kinds of aggregates, a moment behind them.
///
/// The service's migrations create the table `NAME` with a column `generation integer`,
/// `PARTITION BY LIST (generation)`. Readers select the live generation in the same statement:
///
/// ```sql
/// SELECT … FROM order_history WHERE generation = (
///     SELECT generation FROM eventsourcing.projection
///     WHERE name = 'order_history' AND status = 'LIVE')
/// ```
pub trait Projection: Send + Sync + 'static {
    /// Name of the table: lower-case letters and `_`, at most 48.
    const NAME: &'static str;
    /// Version of the rows' meaning: raising it builds a new generation at the next start, and
    /// swaps it in when it has reached the live one.
    const VERSION: i32;
    /// The kinds of aggregates that it follows.
    const AGGREGATES: &'static [&'static str];

    /// Applies events, in the order of their sequences, to the rows of `generation`. The position
    /// moves in the same transaction, so each event is applied once.
    fn apply(
        &self,
        tx: &mut PgConnection,
        generation: i32,
        events: &[Stored],
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Begins to build a new generation beside the live one; returns its number. The runners of the
/// projection build it, and swap it in.
///
/// # Errors
/// [`Error::Building`] if there is one already. [`Error::Outdated`] if newer code writes the live
/// one.
pub async fn rebuild<P: Projection>(pool: &PgPool) -> Result<i32, Error> {
    let mut tx = pool.begin().await?;
    lock_name(&mut tx, P::NAME).await?;
    check_version::<P>(&mut tx).await?;
    if is_building(&mut tx, P::NAME).await?.is_some() {
        return Err(Error::Building(P::NAME));
    }
    let generation = generation::begin(&mut tx, P::NAME, P::VERSION, Status::Building).await?;
    tx.commit().await?;
    tracing::info!(projection = P::NAME, generation, "building a generation");
    Ok(generation)
}

/// Creates the first generation, or begins to build one for a new version of the code.
pub(crate) async fn prepare<P: Projection>(pool: &PgPool) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    lock_name(&mut tx, P::NAME).await?;
    let live = check_version::<P>(&mut tx).await?;
    let building = is_building(&mut tx, P::NAME).await?;
    match live {
        Some(version) if version == P::VERSION => return Ok(()),
        Some(_) if building == Some(P::VERSION) => return Ok(()),
        Some(_) => {
            generation::abandon(&mut tx, P::NAME).await?;
            generation::begin(&mut tx, P::NAME, P::VERSION, Status::Building).await?;
        }
        // Nothing else can be read, so it is live while it is built.
        None => {
            generation::begin(&mut tx, P::NAME, P::VERSION, Status::Live).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Moves the generations by one batch each, and swaps in the one that has reached the live one.
/// Returns true if there is more to apply.
pub(crate) async fn step<P: Projection>(
    projection: &P,
    pool: &PgPool,
    horizon: &mut Horizon,
    batch: i64,
) -> Result<bool, Error> {
    let until = horizon.advance(pool).await?;
    let behind = sqlx::query_scalar!(
        r#"SELECT count(*) AS "behind!" FROM eventsourcing.projection
           WHERE name = $1 AND version = $2 AND status <> 'RETIRED' AND (position < $3 OR status = 'BUILDING')"#,
        P::NAME,
        P::VERSION,
        until
    )
    .fetch_one(pool)
    .await?;
    if behind == 0 {
        return Ok(false);
    }
    let mut tx = pool.begin().await?;
    let mut more = false;
    for locked in generation::lock(&mut tx, P::NAME, P::VERSION).await? {
        let reached = advance(projection, &mut tx, locked, until, batch).await?;
        more |= reached < until;
        if locked.status == Status::Building && reached >= until {
            let swapped = generation::swap(&mut tx, P::NAME, locked.generation, reached).await?;
            if swapped {
                tracing::info!(
                    projection = P::NAME,
                    generation = locked.generation,
                    "generation is live"
                );
            }
        }
    }
    tx.commit().await?;
    Ok(more)
}

/// Applies one batch; returns the position after it.
async fn advance<P: Projection>(
    projection: &P,
    tx: &mut PgConnection,
    locked: Locked,
    until: i64,
    batch: i64,
) -> Result<i64, Error> {
    if locked.position >= until {
        return Ok(locked.position);
    }
    let events = store::read(tx, P::AGGREGATES, locked.position, until, batch).await?;
    let position = match events.last() {
        Some(last) if events.len() as i64 == batch => last.sequence,
        _ => until,
    };
    if !events.is_empty() {
        projection.apply(tx, locked.generation, &events).await?;
    }
    generation::advance(tx, P::NAME, locked.generation, position, events.len()).await?;
    Ok(position)
}

/// Makes processes that begin a generation of one projection wait for each other.
async fn lock_name(tx: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('eventsourcing.' || $1, 0))",
        name
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Returns the version of the live generation, unless newer code writes it.
async fn check_version<P: Projection>(tx: &mut PgConnection) -> Result<Option<i32>, Error> {
    let live = generation::live(tx, P::NAME).await?;
    match live {
        Some((live, _)) if live > P::VERSION => Err(Error::Outdated {
            name: P::NAME,
            live,
            own: P::VERSION,
        }),
        live => Ok(live.map(|(version, _)| version)),
    }
}

async fn is_building(tx: &mut PgConnection, name: &str) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT version FROM eventsourcing.projection WHERE name = $1 AND status = 'BUILDING'",
        name
    )
    .fetch_optional(tx)
    .await
}
