//! The caller's side: a channel for generated clients.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, Request as NatsRequest, RequestErrorKind};
use auth::internal;
use contract::{Method, MethodKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use rpc::deadline::{self, GRPC_TIMEOUT};
use rpc::error::Fault;
use rpc::headers::IDENTITY;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::message::{self, Envelope};
use crate::settings::Settings;
use crate::subject;

/// A broker as the channel of generated clients: `StockServiceClient::new(channel)`; clones share
/// the connection.
///
/// Each unary call is one request to whichever process offers its method. It carries the trace of
/// the current span, and in `grpc-timeout` the earlier of the current deadline
/// ([`rpc::deadline::remaining`]) and its own, which the channel enforces too. Nothing is sent
/// again.
///
/// Failures of its own: UNAVAILABLE, reason NO_RESPONDERS, if nobody offers the method, and
/// BROKER_UNAVAILABLE; RESOURCE_EXHAUSTED, reason MESSAGE_TOO_LARGE, for a message that the broker
/// does not take; DEADLINE_EXCEEDED also if the process dies with the call; UNIMPLEMENTED, reason
/// NOT_UNARY, for streams.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Client,
    methods: HashMap<&'static str, MethodKind>,
    unanswered_timeout: Duration,
}

// === impl Channel ===

impl Channel {
    /// Creates the channel of a contract, whose method table this is, over a connection.
    pub fn new(broker: Client, settings: &Settings, methods: &'static [Method]) -> Self {
        let methods = methods.iter().map(|method| (method.path, method.kind));
        Self {
            shared: Arc::new(Shared {
                broker,
                methods: methods.collect(),
                unanswered_timeout: settings.unanswered_timeout(),
            }),
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Each call waits by itself, so that its deadline applies.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        let deadline = deadline::from_headers(request.headers());
        let outer = deadline::current();
        async move {
            let deadline = [deadline?, outer].into_iter().flatten().min();
            let given_up = Instant::now() + shared.unanswered_timeout;
            let answered = timeout_at(deadline.unwrap_or(given_up), shared.send(request, deadline));
            let response = answered.await.map_err(|_| Fault::deadline_exceeded())?;
            Ok(response?)
        }
        .boxed()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Channel").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    async fn send(
        &self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Fault> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if self.methods.get(path) != Some(&MethodKind::Unary) {
            let text = format!("{path} is no unary method of the contract");
            return Err(Fault::new(Code::Unimplemented, "NOT_UNARY", text));
        }
        let most = self.broker.max_payload();
        let mut metadata = head.headers;
        metadata.remove(IDENTITY);
        if let Some(signer) = internal::signer() {
            let token = signer.call(path, internal::current().as_ref());
            let unsigned = |problem: String| {
                tracing::error!(problem, "call not signed");
                Fault::new(
                    Code::Internal,
                    "IDENTITY_UNSIGNED",
                    "the call can't be signed",
                )
            };
            metadata.insert(IDENTITY, token.map_err(unsigned)?);
        }
        metadata.remove(GRPC_TIMEOUT);
        if let Some(deadline) = deadline {
            metadata.insert(GRPC_TIMEOUT, deadline::header_value(deadline));
        }
        let trace = telemetry::current_traceparent();
        if let Some(trace) = trace.and_then(|trace| HeaderValue::try_from(trace).ok()) {
            metadata.insert("traceparent", trace);
        }
        let call = Envelope {
            headers: message::to_nats(&metadata),
            payload: message::request_payload(body, most).await?,
        };
        if call.size() > most {
            return Err(message::too_large("request", call.size(), most));
        }
        let call = NatsRequest::new()
            .payload(call.payload)
            .headers(call.headers)
            .timeout(None);
        let reply = self.broker.send_request(subject::of(path), call).await;
        let reply = reply.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => {
                Fault::unavailable("NO_RESPONDERS", format!("no process offers {path}"))
            }
            RequestErrorKind::MaxPayloadExceeded => message::too_large("request", most + 1, most),
            _ => Fault::unavailable("BROKER_UNAVAILABLE", error.to_string()),
        })?;
        let reply = Envelope {
            headers: reply.headers.unwrap_or_default(),
            payload: reply.payload,
        };
        reply.into_response()
    }
}
