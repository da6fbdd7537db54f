//! Finds out who calls, by the token of the process that makes the call.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use auth::Identity;
use auth::internal::{self, Called, Verifier};
use bytes::Bytes;
use contract::{Method, MethodKind};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use rpc::config::ConfigError;
use rpc::error::Fault;
use rpc::headers::IDENTITY;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::peer::Peer;
use crate::settings::{ClientAuth, IdentitySettings, TlsSettings};
use crate::tls::Certificate;

#[cfg(test)]
mod tests;

/// The callers of a contract's methods. Health and reflection are not in the contract, and everyone
/// may ask them.
pub(crate) struct Callers {
    settings: IdentitySettings,
    verifier: Option<Verifier>,
    /// Whether a process proves its name by a certificate too.
    has_certificates: bool,
    kinds: HashMap<&'static str, MethodKind>,
}

/// A response body whose messages are made on behalf of the caller.
struct CallerBody {
    source: Body,
    caller: Option<Arc<Identity>>,
}

// === impl Callers ===

impl Callers {
    pub(crate) fn new(
        settings: &IdentitySettings,
        tls: &TlsSettings,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        let kinds = methods.iter().map(|method| (method.path, method.kind));
        Ok(Self {
            verifier: settings.verifier()?,
            settings: settings.clone(),
            has_certificates: tls.is_on() && tls.client_auth != ClientAuth::None,
            kinds: kinds.collect(),
        })
    }

    /// Reads the keys of the trusted processes, once and then at each interval, until `stop`.
    pub(crate) async fn follow_keys(&self, stop: &CancellationToken) {
        let Some(verifier) = &self.verifier else {
            return;
        };
        let mut ticks = tokio::time::interval(self.settings.refresh_interval());
        let mut problem = None;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let found = verifier.refresh().await.err();
            if found != problem
                && let Some(problem) = &found
            {
                tracing::warn!(problem, "keys of a trusted process not read");
            }
            problem = found;
        }
    }

    /// Calls the handler on behalf of the caller, whom it finds among the extensions:
    /// `Arc<Identity>`, unless anonymous, and `Arc<Called>`.
    pub(crate) async fn identify<F>(
        &self,
        request: Request<Body>,
        handler: impl FnOnce(Request<Body>) -> F,
    ) -> Result<Response<Body>, Infallible>
    where
        F: Future<Output = Result<Response<Body>, Infallible>>,
    {
        let Some(verifier) = &self.verifier else {
            return handler(request).await;
        };
        let Some(kind) = self.kinds.get(request.uri().path()) else {
            return handler(request).await;
        };
        let (mut head, body) = request.into_parts();
        let called = match self.called(verifier, &head).await {
            Ok(Some(called)) => called,
            Ok(None) => return handler(Request::from_parts(head, body)).await,
            Err(fault) => return Ok(Status::from(fault).into_http()),
        };
        // A handler could pass it on by mistake.
        head.headers.remove(IDENTITY);
        let caller = called.identity.clone();
        if let Some(identity) = &caller {
            head.extensions.insert(identity.clone());
        }
        head.extensions.insert(called);
        let request = Request::from_parts(head, body);
        let Ok(response) = internal::scope(caller.clone(), handler(request)).await;
        Ok(match kind {
            MethodKind::Unary | MethodKind::ClientStreaming => response,
            _ => response.map(|source| Body::new(CallerBody { source, caller })),
        })
    }

    async fn called(
        &self,
        verifier: &Verifier,
        head: &Parts,
    ) -> Result<Option<Arc<Called>>, Fault> {
        let Some(token) = only(&head.headers)? else {
            return match self.settings.required {
                true => Err(Fault::new(
                    Code::Unauthenticated,
                    "IDENTITY_REQUIRED",
                    "expected a call of a process of the mesh, with its token in mesh-identity",
                )),
                false => Ok(None),
            };
        };
        let token = token
            .to_str()
            .map_err(|_| rejected("the token is not text"))?;
        let called = verifier.verify(token, head.uri.path()).await;
        let called = called.map_err(|distrust| rejected(&distrust.to_string()))?;
        if self.has_certificates
            && let Some(peer) = head.extensions.get::<Peer>()
            && !is_of(peer, &called.process)
        {
            let name = &called.process;
            let text = format!("the token is of process {name:?}, the connection is not");
            return Err(rejected(&text));
        }
        Ok(Some(called))
    }
}

/// Returns the token; two are none.
fn only(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Fault> {
    let mut tokens = headers.get_all(IDENTITY).iter();
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        _ => Err(rejected("there is more than one token")),
    }
}

fn rejected(problem: &str) -> Fault {
    let text = format!("mesh-identity: {problem}");
    Fault::new(Code::Unauthenticated, "IDENTITY_REJECTED", text)
}

/// Returns whether the certificate of a connection names a process: by a SPIFFE id whose path is
/// the name, or by a DNS name that is.
fn is_of(peer: &Peer, process: &str) -> bool {
    let session = peer.tls.as_ref();
    let certificate = session.and_then(|session| session.certificate.as_ref());
    certificate.is_some_and(|certificate| names(certificate, process))
}

fn names(certificate: &Certificate, process: &str) -> bool {
    let is_id = |uri: &String| {
        let id = uri.strip_prefix("spiffe://");
        let path = id.and_then(|id| id.split_once('/')).map(|(_, path)| path);
        path == Some(process)
    };
    certificate.uris.iter().any(is_id) || certificate.dns_names.iter().any(|name| name == process)
}

// === impl CallerBody ===

impl http_body::Body for CallerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let caller = self.caller.clone();
        let source = Pin::new(&mut self.source);
        internal::sync_scope(caller, || source.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.source.size_hint()
    }
}
