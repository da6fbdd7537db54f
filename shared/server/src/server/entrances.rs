//! Ways in beside the listeners, such as a broker: they bring calls to the same layers.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::host::Host;
use crate::layers::Layers;

/// The gRPC services of a server, without a listener; clones share them.
#[derive(Clone)]
pub struct Calls(Arc<Layers>);

/// A way in, to be opened when the server serves.
pub(super) type Entrance =
    Box<dyn FnOnce(Calls, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// Boxes a way in.
pub(super) fn boxed<F, Fut>(entrance: F) -> Entrance
where
    F: FnOnce(Calls, CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Box::new(move |calls, draining| entrance(calls, draining).boxed())
}

/// Opens the ways in until the host drains, then waits for them within the bound of the drain.
pub(super) async fn open(entrances: Vec<Entrance>, layers: Arc<Layers>, host: &Host) {
    let calls = Calls(layers);
    let open = entrances
        .into_iter()
        .map(|entrance| entrance(calls.clone(), host.draining.clone()));
    let mut open = join_all(open).boxed();
    if host.draining.run_until_cancelled(&mut open).await.is_some() {
        return;
    }
    let bounded = tokio::time::timeout(host.settings.drain_timeout, open);
    if bounded.await.is_err() {
        tracing::warn!("drain of calls without a listener timed out");
    }
}

// === impl Calls ===

impl Calls {
    /// Serves a call of a public service, whose request has the path, the metadata and the body of
    /// HTTP/2: record, panic guard, deadline and all layers after it.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.0.serve_call(request).await;
        response
    }
}
