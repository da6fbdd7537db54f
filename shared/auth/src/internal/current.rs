//! The caller of the current task, and the process's signer: what a call that a handler makes
//! carries on.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use super::signer::Signer;
use crate::identity::Identity;

tokio::task_local! {
    static CALLER: Option<Arc<Identity>>;
}

static SIGNER: OnceLock<Arc<Signer>> = OnceLock::new();

/// Returns on whose behalf the current task works; `None` for a task that serves no call, and for
/// an anonymous caller.
pub fn current() -> Option<Arc<Identity>> {
    CALLER.try_with(Clone::clone).ok().flatten()
}

/// Runs a future on behalf of a caller: calls that it makes carry the caller's identity. Tasks that
/// it spawns work on behalf of the process.
pub async fn scope<F: Future>(caller: Option<Arc<Identity>>, future: F) -> F::Output {
    CALLER.scope(caller, future).await
}

/// Runs a closure on behalf of a caller, as [`scope`] does with a future.
pub fn sync_scope<T>(caller: Option<Arc<Identity>>, function: impl FnOnce() -> T) -> T {
    CALLER.sync_scope(caller, function)
}

/// Makes all clients of this process sign their calls. The first signer stays; returns whether this
/// is the one.
pub fn sign_with(signer: Arc<Signer>) -> bool {
    SIGNER.set(signer).is_ok()
}

/// Returns the signer of this process.
pub fn signer() -> Option<&'static Arc<Signer>> {
    SIGNER.get()
}
