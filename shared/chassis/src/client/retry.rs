//! Sending a repeatable unary call again, within bounds that keep a struggling service from more load.

use std::future::Future;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::retry::budget::{Budget, TpsBudget};

use crate::error::{self, Fault};

/// Attempts of one call, the first one included (gRFC A6 allows 5; a deeper retry belongs to the caller).
const ATTEMPTS_MAX: usize = 3;

/// Full jitter between these, in milliseconds: callers that failed together must not return together.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 20..=200;

/// The largest request that is kept for another attempt, in bytes: what servers accept by default.
const REPLAY_BYTES_MAX: usize = 4 * 1024 * 1024 + 5;

/// Retries per call over the last [`BUDGET_WINDOW`]: a service that fails every call sees 20 % more of them, not 200 %.
const BUDGET_RATIO: f32 = 0.2;

/// Retries that are free each second, so that a quiet client can retry its only call.
const BUDGET_PER_SECOND: u32 = 10;

const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// Header of the attempts before this one (gRFC A6).
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Makes the budget that all calls of one upstream share.
pub(super) fn budget() -> TpsBudget {
    TpsBudget::new(BUDGET_WINDOW, BUDGET_PER_SECOND, BUDGET_RATIO)
}

/// Calls `attempt` until it is not UNAVAILABLE, or a bound is reached.
///
/// A response that has begun is final, whatever its trailers say (gRFC A6, "committed").
pub(super) async fn run<F, Fut>(
    budget: &TpsBudget,
    attempt: F,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Status>
where
    F: Fn(Request<Body>) -> Fut,
    Fut: Future<Output = Result<Response<Body>, Status>>,
{
    let (parts, body) = request.into_parts();
    let body = collect(body).await?;
    budget.deposit();
    let mut previous = 0;
    loop {
        let mut parts = parts.clone();
        if previous > 0 {
            parts
                .headers
                .insert(PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
        }
        let request = Request::from_parts(parts, Body::new(Full::new(body.clone())));
        let outcome = attempt(request).await;
        previous += 1;
        if previous == ATTEMPTS_MAX || !unavailable(&outcome) {
            return outcome;
        }
        let pause = Duration::from_millis(rand::random_range(BACKOFF_MS));
        let in_time = deadline.is_none_or(|deadline| Instant::now() + pause < deadline);
        if !in_time || !budget.withdraw() {
            return outcome;
        }
        tracing::debug!(attempt = previous, "service unavailable, calling again");
        tokio::time::sleep(pause).await;
    }
}

fn unavailable(outcome: &Result<Response<Body>, Status>) -> bool {
    match outcome {
        Err(status) => status.code() == Code::Unavailable,
        Ok(response) => error::from_headers(response.headers())
            .is_some_and(|status| status.code() == Code::Unavailable),
    }
}

async fn collect(body: Body) -> Result<bytes::Bytes, Status> {
    match Limited::new(body, REPLAY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("request is above {REPLAY_BYTES_MAX} bytes");
            Err(Fault::resource_exhausted("MESSAGE_TOO_LARGE", text).into())
        }
        Err(error) => Err(error::from_source(error)),
    }
}
