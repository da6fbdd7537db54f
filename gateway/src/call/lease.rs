//! The end of a stream whose caller's credential ends first.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chassis::error::Fault;
use futures::future::{Either, select};
use tonic::Status;

use super::Cut;

/// The right of a stream to go on, an extension of its request. It keeps up to date whatever
/// decides about it.
#[derive(Clone)]
pub(crate) struct Lease {
    lease: auth::Lease,
    kept: Arc<dyn Any + Send + Sync>,
}

impl Lease {
    pub(crate) fn new(lease: auth::Lease, kept: Arc<dyn Any + Send + Sync>) -> Self {
        Self { lease, kept }
    }
}

/// Waits for the end of a credential.
pub(crate) fn ended(lease: Lease) -> Cut {
    Box::pin(async move {
        let rejection = lease.lease.ended().await;
        drop(lease.kept);
        Fault::from(rejection).into()
    })
}

/// Returns the status of a stream whose credential has ended.
pub(crate) fn poll_ended(ended: &mut Option<Cut>, context: &mut Context<'_>) -> Option<Status> {
    let Poll::Ready(status) = ended.as_mut()?.as_mut().poll(context) else {
        return None;
    };
    *ended = None;
    Some(status)
}

/// Waits, but not longer than the credential lives.
pub(crate) async fn unless<T>(
    ended: &mut Option<Cut>,
    wait: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(cut) = ended else {
        return wait.await;
    };
    let first = match select(cut, pin!(wait)).await {
        Either::Left((status, _)) => Err(status),
        Either::Right((waited, _)) => return waited,
    };
    *ended = None;
    first
}
