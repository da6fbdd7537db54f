//! The key that signs the calls of the process.

use std::convert::Infallible;
use std::sync::Arc;

use auth::internal::Signer;

use crate::process::Process;

/// Rotates the key until the process ends.
pub(super) async fn rotate(process: Process, signer: Arc<Signer>) -> Result<(), Infallible> {
    let shutdown = process.shutdown();
    let mut ticks = tokio::time::interval(process.settings().identity.rotation(&signer));
    ticks.tick().await;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let rotating = signer.clone();
        // A file is read.
        let rotated = tokio::task::spawn_blocking(move || rotating.rotate()).await;
        match rotated {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("the key that signs calls has changed"),
            Ok(Err(error)) => tracing::error!(%error, "key not changed, the old one stays"),
            Err(error) => tracing::error!(%error, "key not changed, the old one stays"),
        }
    }
    Ok(())
}
