//! The act of rebuilding a stream.

use events::Bus;
use sqlx::PgPool;

use crate::acts::{self, Action, Intent};
use crate::error::Error;

/// Rebuilds the stream of `context` by [`Bus::rebuild`] and leaves a row of audit in the database
/// of its publisher, which `pool` opens; returns the number of facts from the archive.
///
/// It is no call to the desk: `bus` is connected as a user of the broker that may delete streams,
/// which no service is.
///
/// # Errors
/// Those of [`Bus::rebuild`], which the audit records too, and of the database.
pub async fn rebuild(
    pool: &PgPool,
    bus: &Bus,
    operator: &str,
    context: &str,
    reason: &str,
) -> Result<u64, impl std::error::Error + Send + Sync + 'static> {
    let intent = Intent {
        operator,
        action: Action::Rebuild,
        scope: context,
        key: "",
        detail: String::new(),
        reason,
    };
    let work = async { Ok::<_, Error>(bus.rebuild(context).await?) };
    acts::record(pool, &intent, work, |facts| {
        format!("{facts} facts to publish again")
    })
    .await
}
