//! The stream of WatchImport: an import whenever it has changed, until it is COMPLETED.

use std::time::Duration;

use contracts::ingest::v1::WatchImportResponse;
use futures::stream::{self, BoxStream, StreamExt};
use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Ingest, import_to_proto};
use crate::{
    error::Error,
    model::State,
    store::{self, Import},
};

/// Between two looks, at least: a busy import changes with every batch and every settled order.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Between two looks, at most: other processes change the import without waking this one.
const PAUSE_MAX: Duration = Duration::from_millis(500);

struct Watcher {
    pool: PgPool,
    changed: watch::Receiver<()>,
    draining: CancellationToken,
    last: Import,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// Sends `import` and then every change that a look finds.
pub(super) fn stream(
    service: &Ingest,
    import: Import,
    permit: OwnedSemaphorePermit,
) -> BoxStream<'static, Result<WatchImportResponse, Status>> {
    let watcher = Watcher {
        pool: service.pool.clone(),
        changed: service.changed.subscribe(),
        draining: service.draining.clone(),
        ended: import.state() == State::Completed,
        last: import.clone(),
        _permit: permit,
    };
    let changes = stream::unfold(watcher, |mut watcher| async move {
        let change = watcher.next().await?;
        Some((change, watcher))
    });
    let imports = stream::iter([Ok(import)]).chain(changes);
    imports
        .map(|import| {
            import.map(|import| WatchImportResponse {
                import: Some(import_to_proto(import)),
            })
        })
        .boxed()
}

impl Watcher {
    /// The next change; an error is the last thing.
    async fn next(&mut self) -> Option<Result<Import, Status>> {
        if self.ended {
            return None;
        }
        let change = self.change().await;
        match &change {
            Ok(import) => {
                self.ended = import.state() == State::Completed;
                self.last = import.clone();
            }
            Err(_) => self.ended = true,
        }
        Some(change.map_err(Status::from))
    }

    async fn change(&mut self) -> Result<Import, Error> {
        loop {
            tokio::select! {
                () = self.draining.cancelled() => return Err(Error::Stopping),
                () = pause(&mut self.changed) => {}
            }
            let import = store::import(&self.pool, self.last.import_id).await?;
            if import != self.last {
                return Ok(import);
            }
        }
    }
}

async fn pause(changed: &mut watch::Receiver<()>) {
    sleep(PAUSE_MIN).await;
    // Woken or not, the database says what is new.
    let _ = timeout(PAUSE_MAX - PAUSE_MIN, changed.changed()).await;
}
