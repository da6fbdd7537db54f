//! The saga runner: claims due sagas, takes their steps, and delays those without an answer.

mod order;
mod ret;

use std::{sync::Arc, time::Duration};

use chassis::changes::Watchers;
use events::Bus;
use protos::{
    inventory::v1::inventory_service_client::InventoryServiceClient,
    payments::v1::payments_service_client::PaymentsServiceClient,
};
use rpc::backoff::Backoff;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tracing::Instrument;

use crate::{
    error::Error,
    store::sagas::{self, Claim, Saga},
};

/// Lease of a claim, in step timeouts: long enough that a running saga is not claimed again, short
/// enough that the sagas of a dead process resume soon.
const LEASE_STEPS: u32 = 3;
/// Pauses between polls of the database while no saga is due.
const IDLE: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];
/// Pauses between tries of a step that gets no answer.
const RETRY: Backoff = Backoff::full_jitter(Duration::from_millis(50), Duration::from_secs(5));

/// How long a return waits before it checks its turn again; usually it is woken earlier.
const TURN: Duration = Duration::from_secs(1);

/// The dependencies of the steps.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The service's database.
    pub pool: PgPool,
    /// Stock.
    pub inventory: InventoryServiceClient<chassis::client::Upstream>,
    /// Money.
    pub payments: PaymentsServiceClient<chassis::client::Upstream>,
    /// Timeout of one step's call.
    pub step_timeout: Duration,
    /// The streams of WatchOrder.
    pub watchers: Watchers,
    /// The relay, which publishes the end of each saga.
    pub bus: Bus,
}

/// How far a saga came.
enum Progress {
    /// It is at its end.
    Ended,
    /// Its next step got no answer.
    Unanswered(Status),
    /// It is not its turn yet.
    Waiting,
}

impl Runner {
    /// Runs up to `workers` sagas at a time until `shutdown`; a step that has begun is finished
    /// first.
    pub async fn run(self, workers: usize, shutdown: CancellationToken) -> Result<(), Error> {
        let runner = Arc::new(self);
        let mut running = JoinSet::new();
        let mut idle = 0;
        while !shutdown.is_cancelled() {
            let free = workers - running.len();
            let claimed = if free == 0 {
                Vec::new()
            } else {
                runner.claim(free as i64).await
            };
            idle = if claimed.is_empty() {
                (idle + 1).min(IDLE.len() - 1)
            } else {
                0
            };
            for claim in claimed {
                running.spawn(runner.clone().carry(claim));
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(IDLE[idle]), if running.len() < workers => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
        while running.join_next().await.is_some() {}
        Ok(())
    }

    /// Claims due sagas. During an outage of the database none is due.
    async fn claim(&self, limit: i64) -> Vec<Claim> {
        sagas::claim(&self.pool, limit, self.lease())
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "can't claim sagas"
                );
                Vec::new()
            })
    }

    /// Carries one saga as far as it goes.
    async fn carry(self: Arc<Self>, claim: Claim) {
        match claim {
            Claim::Order(mut saga) => {
                let span = span("ORDER", &saga);
                async {
                    let run = self.carry_order(&mut saga).await;
                    self.pause(&saga, run).await;
                }
                .instrument(span)
                .await;
            }
            Claim::Return(mut saga) => {
                let span = span("RETURN", &saga);
                async {
                    let run = self.carry_return(&mut saga).await;
                    self.pause(&saga, run).await;
                }
                .instrument(span)
                .await;
            }
        }
    }

    /// Delays a saga that is not at its end.
    async fn pause<S: Copy + Into<&'static str>>(
        &self,
        saga: &Saga<S>,
        run: Result<Progress, Error>,
    ) {
        let step: &str = saga.step.into();
        let pause = match run {
            Ok(Progress::Ended) => return self.bus.wake().await,
            Err(Error::LostLease(_)) => return,
            Ok(Progress::Waiting) => TURN,
            Ok(Progress::Unanswered(status)) => {
                tracing::warn!(step, attempts = saga.attempts, %status, "step not answered");
                RETRY.pause(saga.attempts.unsigned_abs() + 1)
            }
            Err(error) => {
                tracing::error!(
                    step,
                    error = &error as &dyn std::error::Error,
                    "step failed"
                );
                RETRY.pause(saga.attempts.unsigned_abs() + 1)
            }
        };
        // If this fails too, the saga is due again at the end of its lease.
        if let Err(error) = sagas::put_off(&self.pool, saga, pause).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "can't put the saga off"
            );
        }
    }

    fn lease(&self) -> Duration {
        self.step_timeout * LEASE_STEPS
    }

    /// Builds a request with the step's timeout.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.step_timeout);
        request
    }
}

fn span<S>(kind: &'static str, saga: &Saga<S>) -> tracing::Span {
    let span = tracing::info_span!("saga", saga_id = %saga.saga_id, kind);
    if let Some(traceparent) = &saga.traceparent {
        chassis::telemetry::set_parent(&span, traceparent);
    }
    span
}

/// Returns true if a retry can't change the answer.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
    )
}

/// Returns the stable reason of a final answer.
fn reason(status: &Status) -> String {
    chassis::error::reason(status).unwrap_or_else(|| status.code().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_repeat_are_final() {
        assert!(is_final(&Status::failed_precondition("")));
        for status in [
            Status::unavailable(""),
            Status::deadline_exceeded(""),
            Status::internal(""),
            Status::unknown(""),
        ] {
            assert!(!is_final(&status));
        }
    }
}
