//! The server's side: calls by messages reach the same layers as calls by HTTP/2.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use http::{Method as HttpMethod, Request, Uri, Version};
use http_body_util::Full;
use rpc::error::Fault;
use rpc::frame;
use server::{Calls, Server};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::body::Body;

use crate::message::{self, Envelope};
use crate::settings::Settings;
use crate::subject;

/// The broker did not take a subscription.
#[derive(Debug, thiserror::Error)]
#[error("can't subscribe to {subject}")]
pub struct Error {
    subject: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The unary methods that a process answers by messages.
struct Offer {
    broker: Client,
    /// Paths by subject.
    paths: HashMap<String, &'static str>,
    calls: Calls,
    slots: Arc<Semaphore>,
}

/// Offers the unary methods of all services that `server` has so far on
/// `rpc.<package>.<Service>.<Method>`. Processes that offer the same service share its calls.
///
/// A call passes the layers of [`Server`] from the record on: deadline, overload, memory,
/// validation. When the process drains, it takes no more calls, and answers those it has.
///
/// # Errors
/// The connection is closed.
pub async fn offer(server: Server, broker: Client, settings: &Settings) -> Result<Server, Error> {
    let methods: Vec<_> = server.unary_methods().map(|method| method.path).collect();
    let services: BTreeSet<_> = methods.iter().map(|path| subject::service(path)).collect();
    let mut subscriptions = Vec::new();
    for service in services {
        let subject = subject::of_service(service);
        let subscribed = broker.queue_subscribe(subject.clone(), service.to_owned());
        subscriptions.push(subscribed.await.map_err(|error| Error {
            subject,
            source: error.into(),
        })?);
    }
    let paths = methods.into_iter().map(|path| (subject::of(path), path));
    let (paths, slots) = (
        paths.collect(),
        Arc::new(Semaphore::new(settings.concurrent)),
    );
    Ok(server.with_entrance(move |calls, draining| async move {
        let offer = Arc::new(Offer {
            broker,
            paths,
            calls,
            slots,
        });
        offer.run(select_all(subscriptions), &draining).await;
    }))
}

// === impl Offer ===

impl Offer {
    /// Answers calls until the process drains and all are answered.
    async fn run(
        self: Arc<Self>,
        mut requests: SelectAll<Subscriber>,
        draining: &CancellationToken,
    ) {
        let running = TaskTracker::new();
        while let Some(Some(request)) = draining.run_until_cancelled(requests.next()).await {
            self.begin(request, &running).await;
        }
        for subscription in requests.iter_mut() {
            if let Err(error) = subscription.drain().await {
                tracing::debug!(%error, "subscription not drained");
            }
        }
        while let Some(request) = requests.next().await {
            self.begin(request, &running).await;
        }
        running.close();
        running.wait().await;
        if let Err(error) = self.broker.flush().await {
            tracing::debug!(%error, "last replies not flushed");
        }
    }

    /// Begins a call, or refuses it at once: its deadline is measured from its arrival, so that no
    /// call waits before it.
    async fn begin(self: &Arc<Self>, request: Message, running: &TaskTracker) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            let text = "the process answers as many calls as it may";
            let refusal = Fault::resource_exhausted("TOO_MANY_CALLS", text);
            return self.reply(&request, Envelope::of_fault(refusal)).await;
        };
        let offer = self.clone();
        running.spawn(async move {
            let reply = offer.answer(&request).await;
            offer.reply(&request, reply).await;
            drop(slot);
        });
    }

    async fn answer(&self, request: &Message) -> Envelope {
        let call = match self.call(request) {
            Ok(call) => call,
            Err(fault) => return Envelope::of_fault(fault),
        };
        let response = self.calls.call(call).await;
        Envelope::of_response(response, self.broker.max_payload()).await
    }

    /// Builds the call that the message is.
    fn call(&self, request: &Message) -> Result<Request<Body>, Fault> {
        let subject = request.subject.as_str();
        let path = self.paths.get(subject).ok_or_else(|| {
            let text = format!("no unary method has the subject {subject}");
            Fault::new(Code::Unimplemented, "METHOD_NOT_FOUND", text)
        })?;
        let frame = frame::encode(0, &request.payload).map_err(rpc::error::internal)?;
        let mut call = Request::new(Body::new(Full::new(frame)));
        *call.method_mut() = HttpMethod::POST;
        *call.uri_mut() = Uri::from_static(path);
        *call.version_mut() = Version::HTTP_2;
        *call.headers_mut() = message::request_headers(request.headers.as_ref())?;
        Ok(call)
    }

    /// Replies; a message without a subject to reply to asked for nothing.
    async fn reply(&self, request: &Message, reply: Envelope) {
        let Some(to) = request.reply.clone() else {
            return;
        };
        let Envelope { headers, payload } = reply;
        let published = self.broker.publish_with_headers(to, headers, payload);
        if let Err(error) = published.await {
            tracing::warn!(%error, subject = request.subject.as_str(), "reply not sent");
        }
    }
}
