//! The rows of sources.

use chrono::{DateTime, Utc};

use super::Store;

/// Whether a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    Running,
    Paused,
    Stopped,
}

::store::text_enum!(State);

/// A source as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct SourceRow {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) changed_at: DateTime<Utc>,
    pub(crate) records: i64,
    pub(crate) accepted: i64,
    pub(crate) quarantined: i64,
    pub(crate) held: i64,
    pub(crate) last_record_at: Option<DateTime<Utc>>,
}

// === impl Store ===

impl Store {
    /// Adds the sources that are new.
    pub(crate) async fn register(&self, names: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO source (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
            names,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns these sources by name; those that are not configured any more are left out.
    pub(crate) async fn sources(&self, names: &[String]) -> Result<Vec<SourceRow>, sqlx::Error> {
        sqlx::query_as!(
            SourceRow,
            r#"SELECT name, state AS "state: State", reason, changed_at, records, accepted, quarantined, held,
                      last_record_at
               FROM source WHERE name = ANY($1) ORDER BY name"#,
            names,
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Sets the state that an operator wants. Running again counts errors anew.
    pub(crate) async fn set_state(
        &self,
        name: &str,
        state: State,
    ) -> Result<SourceRow, sqlx::Error> {
        sqlx::query_as!(
            SourceRow,
            r#"UPDATE source SET state = $2, reason = '',
                   changed_at = CASE WHEN state = $2 THEN changed_at ELSE now() END,
                   window_records = CASE WHEN state = $2 THEN window_records ELSE 0 END,
                   window_quarantined = CASE WHEN state = $2 THEN window_quarantined ELSE 0 END
               WHERE name = $1
               RETURNING name, state AS "state: State", reason, changed_at, records, accepted, quarantined, held,
                         last_record_at"#,
            name,
            state as State,
        )
        .fetch_one(&self.pool)
        .await
    }
}
