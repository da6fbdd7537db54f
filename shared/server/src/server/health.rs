//! `grpc.health.v1.Health` as `GET /readyz` has it.

use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::probes::Ready;

/// Interval in which the health follows `GET /readyz`.
const INTERVAL: Duration = Duration::from_millis(200);

/// Keeps the health of the services at what `GET /readyz` says, until the drain ends it.
pub(super) async fn follow(
    health: &HealthReporter,
    names: &[&'static str],
    ready: Ready,
    draining: &CancellationToken,
) {
    let mut announced = None;
    let followed = async {
        loop {
            let is_ready = ready();
            if announced.replace(is_ready) != Some(is_ready) {
                announce(health, names, is_ready).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let _: Option<Infallible> = draining.run_until_cancelled(followed).await;
    announce(health, names, false).await;
}

/// Sets the health of the services, and of the process as a whole, whose name is empty.
pub(super) async fn announce(health: &HealthReporter, names: &[&'static str], is_ready: bool) {
    let status = match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    for name in names.iter().chain(&[""]) {
        health.set_service_status(name, status).await;
    }
}
