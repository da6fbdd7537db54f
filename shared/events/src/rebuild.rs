//! Rebuilds a stream that has lost facts, or has other ones, from the archive.

use async_nats::jetstream::context::DeleteStreamErrorKind;
use chassis::crash;
use facts::error::Error;
use facts::subject;
use sqlx::PgConnection;

use crate::bus::{Bus, stream};
use crate::relay::Lease;
use crate::stopped;

/// "stream not found"
const NOT_FOUND: usize = 404;

impl Bus {
    /// Deletes the stream of `context` and lets the relay publish again what the archive and the
    /// outbox of this database hold of it; returns the number of facts from the archive.
    ///
    /// Consumers go on by their watermarks and apply nothing twice. What had left the archive
    /// (`archive_max_age_s`) is no longer in the stream: a consumer that is behind it parks the
    /// keys concerned. A failure changes nothing in the database; call it again.
    ///
    /// # Errors
    /// [`Error::StoppedKeys`]: a decision about a key is due, which refers to the stream as it is.
    /// Or database or NATS do not answer.
    pub async fn rebuild(&self, context: &str) -> Result<u64, Error> {
        let mut tx = self.pool.begin().await?;
        // No relay publishes until the commit: what it had in progress it will publish again.
        Lease::seize(&mut tx).await?;
        let keys = stopped::count(&mut tx, context).await?;
        if keys > 0 {
            let context = context.to_owned();
            return Err(Error::StoppedKeys { context, keys });
        }
        let facts = requeue(&mut tx, context).await?;
        crash::point("events.rebuild.requeued");
        self.delete_stream(context).await?;
        crash::point("events.rebuild.deleted");
        tx.commit().await?;
        crash::point("events.rebuild.committed");
        self.wake().await;
        tracing::warn!(context, facts, "stream deleted, it will be published again");
        Ok(facts)
    }

    async fn delete_stream(&self, context: &str) -> Result<(), Error> {
        let Err(error) = self.jetstream.delete_stream(stream::name(context)).await else {
            return Ok(());
        };
        match error.kind() {
            DeleteStreamErrorKind::JetStream(answer) if answer.code() == NOT_FOUND => Ok(()),
            _ => Err(Error::jetstream("deleting the stream", error)),
        }
    }
}

/// Moves the archived facts of `context` back into the outbox, under the same ids and versions, and
/// forgets the ends of its subjects.
async fn requeue(tx: &mut PgConnection, context: &str) -> Result<u64, Error> {
    let facts = sqlx::query!(
        "WITH archived AS (
             DELETE FROM events.archive WHERE context = $1
             RETURNING id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id
         )
         INSERT INTO events.outbox
             (id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id)
         OVERRIDING SYSTEM VALUE SELECT * FROM archived",
        context,
    )
    .execute(&mut *tx)
    .await?;
    let prefix = subject::context_prefix(context);
    sqlx::query!(
        "DELETE FROM events.tail WHERE starts_with(subject, $1)",
        prefix
    )
    .execute(tx)
    .await?;
    Ok(facts.rows_affected())
}
