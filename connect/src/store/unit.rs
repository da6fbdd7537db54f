//! The position of a source in its units, moved in one transaction with the quarantine.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::lease::Lease;
use super::quarantine::{self, Held};
use super::source::State;
use super::{Store, StoreError, text};

/// Latest units that are shown of a source.
const SHOWN: i64 = 20;

/// The state of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum UnitState {
    Reading,
    Done,
    Failed,
}

::store::text_enum!(UnitState);

/// A unit as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct UnitRow {
    pub(crate) unit: String,
    pub(crate) name: String,
    pub(crate) size_bytes: i64,
    pub(crate) state: UnitState,
    pub(crate) position: i64,
    pub(crate) accepted: i64,
    pub(crate) quarantined: i64,
    pub(crate) mapping: String,
    pub(crate) refusal: String,
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) changed_at: DateTime<Utc>,
}

/// Where a unit begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is read from the record after this one.
    From(u64),
    /// All of its records are delivered or in quarantine.
    Done,
}

/// Records whose outcome becomes durable together.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// The position before it.
    pub(crate) from: u64,
    /// Number of its last record.
    pub(crate) to: u64,
    pub(crate) held: Vec<Held>,
}

/// The end of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnitEnd<'a> {
    Done,
    /// It can't be read, for this reason.
    Failed(&'a str),
}

/// The bounds at which a source stops by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) ratio: f64,
    pub(crate) of: u64,
    pub(crate) held_max: u64,
}

struct Counted {
    state: State,
    held: i64,
    window_records: i64,
    window_quarantined: i64,
}

// === impl Store ===

impl Store {
    /// Begins a unit, or continues with it. One that failed before is read on: its mapping may be
    /// another one now.
    pub(crate) async fn begin(
        &self,
        lease: &Lease,
        unit: &str,
        name: &str,
        size_bytes: u64,
        mapping: &str,
    ) -> Result<Begun, StoreError> {
        let row = sqlx::query!(
            r#"INSERT INTO unit AS stored (source, unit, name, size_bytes, mapping) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (source, unit) DO UPDATE
               SET state = CASE WHEN stored.state = 'FAILED' THEN 'READING' ELSE stored.state END,
                   refusal = CASE WHEN stored.state = 'FAILED' THEN '' ELSE stored.refusal END
               RETURNING position, state AS "state: UnitState""#,
            lease.source,
            unit,
            text(name),
            i64::try_from(size_bytes).unwrap_or(i64::MAX),
            mapping,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match row.state {
            UnitState::Done => Begun::Done,
            UnitState::Reading | UnitState::Failed => Begun::From(row.position.unsigned_abs()),
        })
    }

    /// Moves the position, and puts the held records into quarantine; returns the state of the
    /// source after it.
    pub(crate) async fn commit(
        &self,
        lease: &Lease,
        unit: &str,
        mapping: &str,
        step: &Step,
        bounds: Bounds,
    ) -> Result<State, StoreError> {
        let mut tx = self.pool.begin().await?;
        let records = (step.to - step.from).cast_signed();
        let held = i64::try_from(step.held.len()).unwrap_or(i64::MAX);
        let counted = count(&mut tx, lease, records, held, bounds).await?;
        let moved = sqlx::query!(
            "UPDATE unit SET position = $4, accepted = accepted + $5, quarantined = quarantined + $6, mapping = $7,
                 changed_at = now()
             WHERE source = $1 AND unit = $2 AND position = $3",
            lease.source,
            unit,
            step.from.cast_signed(),
            step.to.cast_signed(),
            records - held,
            held,
            mapping,
        )
        .execute(&mut *tx)
        .await?;
        if moved.rows_affected() == 0 {
            return Err(StoreError::PositionMoved(unit.to_owned()));
        }
        quarantine::insert(&mut tx, &lease.source, unit, mapping, &step.held).await?;
        let state = match bounds.broken(&counted) {
            Some(reason) if counted.state == State::Running => {
                stop(&mut tx, lease, &reason).await?;
                State::Stopped
            }
            _ => counted.state,
        };
        tx.commit().await?;
        chassis::crash::point("connect.committed");
        Ok(state)
    }

    /// Ends a unit; returns it.
    pub(crate) async fn end(
        &self,
        lease: &Lease,
        unit: &str,
        end: UnitEnd<'_>,
    ) -> Result<UnitRow, StoreError> {
        let (state, refusal) = match end {
            UnitEnd::Done => (UnitState::Done, ""),
            UnitEnd::Failed(refusal) => (UnitState::Failed, refusal),
        };
        let row = sqlx::query_as!(
            UnitRow,
            r#"UPDATE unit SET state = $3, refusal = $4,
                   changed_at = CASE WHEN state = $3 THEN changed_at ELSE now() END
               WHERE source = $1 AND unit = $2
                 AND EXISTS (SELECT FROM source WHERE name = $1 AND owner = $5 AND epoch = $6)
               RETURNING unit, name, size_bytes, state AS "state: UnitState", position, accepted, quarantined,
                         mapping, refusal, begun_at, changed_at"#,
            lease.source,
            unit,
            state as UnitState,
            text(refusal),
            lease.owner,
            lease.epoch,
        )
        .fetch_optional(&self.pool)
        .await?;
        row.ok_or(StoreError::LeaseLost)
    }

    /// Returns the latest units of a source.
    pub(crate) async fn latest_units(&self, source: &str) -> Result<Vec<UnitRow>, sqlx::Error> {
        sqlx::query_as!(
            UnitRow,
            r#"SELECT unit, name, size_bytes, state AS "state: UnitState", position, accepted, quarantined, mapping,
                      refusal, begun_at, changed_at
               FROM unit WHERE source = $1 ORDER BY changed_at DESC, unit LIMIT $2"#,
            source,
            SHOWN,
        )
        .fetch_all(&self.pool)
        .await
    }
}

// === impl Bounds ===

impl Bounds {
    /// Returns why the source has to stop, if it has to.
    fn broken(&self, counted: &Counted) -> Option<String> {
        let Self {
            ratio,
            of,
            held_max,
        } = *self;
        let most = of as f64 * ratio;
        let (bad, read) = (counted.window_quarantined, counted.window_records);
        if bad as f64 > most {
            return Some(format!(
                "{bad} of the last {read} records went into quarantine, more than {ratio} of {of}"
            ));
        }
        (counted.held.unsigned_abs() >= held_max).then(|| {
            format!(
                "{} records are in quarantine, as many as it may hold",
                counted.held
            )
        })
    }
}

/// Counts records of a source that this process owns; its row stays locked.
async fn count(
    tx: &mut PgConnection,
    lease: &Lease,
    records: i64,
    held: i64,
    bounds: Bounds,
) -> Result<Counted, StoreError> {
    let counted = sqlx::query_as!(
        Counted,
        r#"UPDATE source
           SET owned_until = clock_timestamp() + $4, records = records + $5, quarantined = quarantined + $6,
               accepted = accepted + $5 - $6, held = held + $6, last_record_at = now(),
               window_records = CASE WHEN window_records >= $7 THEN 0 ELSE window_records END + $5,
               window_quarantined = CASE WHEN window_records >= $7 THEN 0 ELSE window_quarantined END + $6
           WHERE name = $1 AND owner = $2 AND epoch = $3
           RETURNING state AS "state: State", held, window_records, window_quarantined"#,
        lease.source,
        lease.owner,
        lease.epoch,
        lease.term(),
        records,
        held,
        bounds.of.cast_signed(),
    )
    .fetch_optional(tx)
    .await?;
    counted.ok_or(StoreError::LeaseLost)
}

async fn stop(tx: &mut PgConnection, lease: &Lease, reason: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE source SET state = 'STOPPED', reason = $2, changed_at = now() WHERE name = $1",
        lease.source,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}
