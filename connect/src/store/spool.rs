//! Files that were sent and are not read yet, with their bytes.

use sqlx::PgConnection;

use super::{Store, text};

/// A file that is complete.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) unit: String,
    pub(crate) name: String,
    pub(crate) size_bytes: i64,
}

/// The bytes that are there of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: i64,
    pub(crate) is_complete: bool,
}

// === impl Store ===

impl Store {
    /// Returns whether the source has read these bytes to their end.
    pub(crate) async fn is_done(&self, source: &str, unit: &str) -> Result<bool, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM unit WHERE source = $1 AND unit = $2 AND state = 'DONE') AS "done!""#,
            source,
            unit,
        );
        found.fetch_one(&self.pool).await
    }

    /// Begins a file, or finds what is there of it; `None` if the spool of the source would hold
    /// more than `most` bytes.
    pub(crate) async fn open_spool(
        &self,
        source: &str,
        unit: &str,
        name: &str,
        size_bytes: i64,
        most: i64,
    ) -> Result<Option<Received>, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        // Files of one source are begun one after the other: the sum is right.
        sqlx::query!(
            "SELECT name FROM source WHERE name = $1 FOR NO KEY UPDATE",
            source
        )
        .fetch_one(&mut *tx)
        .await?;
        let others = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(size_bytes), 0)::bigint AS "bytes!" FROM spool WHERE source = $1 AND unit <> $2"#,
            source,
            unit,
        )
        .fetch_one(&mut *tx)
        .await?;
        if others.saturating_add(size_bytes) > most {
            return Ok(None);
        }
        sqlx::query!(
            "INSERT INTO spool (source, unit, name, size_bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            source,
            unit,
            text(name),
            size_bytes,
        )
        .execute(&mut *tx)
        .await?;
        let received = received(&mut tx, source, unit).await?;
        tx.commit().await?;
        Ok(Some(received))
    }

    /// Adds bytes at a position; `None` if it is not the end of those that are there.
    pub(crate) async fn append_spool(
        &self,
        source: &str,
        unit: &str,
        position: i64,
        bytes: &[u8],
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let end = sqlx::query_scalar!(
            "UPDATE spool SET received_bytes = received_bytes + $4, changed_at = now()
             WHERE source = $1 AND unit = $2 AND received_bytes = $3 AND NOT is_complete
             RETURNING received_bytes",
            source,
            unit,
            position,
            i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if end.is_some() {
            sqlx::query!(
                "INSERT INTO spool_chunk (source, unit, position, bytes) VALUES ($1, $2, $3, $4)",
                source,
                unit,
                position,
                bytes,
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(end)
    }

    /// Marks a file as complete: it may be read.
    pub(crate) async fn complete_spool(&self, source: &str, unit: &str) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE spool SET is_complete = true, changed_at = now()
             WHERE source = $1 AND unit = $2 AND received_bytes = size_bytes",
            source,
            unit,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns what is there of a file.
    pub(crate) async fn spooled(&self, source: &str, unit: &str) -> Result<Received, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        received(&mut connection, source, unit).await
    }

    /// Returns the complete file that has waited longest.
    pub(crate) async fn next_spooled(&self, source: &str) -> Result<Option<Spooled>, sqlx::Error> {
        sqlx::query_as!(
            Spooled,
            "SELECT unit, name, size_bytes FROM spool WHERE source = $1 AND is_complete
             ORDER BY changed_at, unit LIMIT 1",
            source,
        )
        .fetch_optional(&self.pool)
        .await
    }

    /// Returns the bytes from a position on, up to the end of a chunk; `None` at the end.
    pub(crate) async fn spool_chunk(
        &self,
        source: &str,
        unit: &str,
        position: i64,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        sqlx::query_scalar!(
            "SELECT bytes FROM spool_chunk WHERE source = $1 AND unit = $2 AND position = $3",
            source,
            unit,
            position,
        )
        .fetch_optional(&self.pool)
        .await
    }

    /// Deletes a file.
    pub(crate) async fn remove_spooled(&self, source: &str, unit: &str) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM spool WHERE source = $1 AND unit = $2",
            source,
            unit
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns number and bytes of the complete files of a source.
    pub(crate) async fn spool_backlog(&self, source: &str) -> Result<(i64, i64), sqlx::Error> {
        let waiting = sqlx::query!(
            r#"SELECT count(*) AS "files!", coalesce(sum(size_bytes), 0)::bigint AS "bytes!"
               FROM spool WHERE source = $1 AND is_complete"#,
            source,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((waiting.files, waiting.bytes))
    }
}

async fn received(
    connection: &mut PgConnection,
    source: &str,
    unit: &str,
) -> Result<Received, sqlx::Error> {
    let found = sqlx::query_as!(
        Received,
        "SELECT received_bytes AS bytes, is_complete FROM spool WHERE source = $1 AND unit = $2",
        source,
        unit,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.unwrap_or(Received {
        bytes: 0,
        is_complete: false,
    }))
}
