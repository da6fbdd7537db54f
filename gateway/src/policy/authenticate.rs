//! Authentication: who calls, by the credential that the request presents.

mod resource;

use std::sync::Arc;

use admission::Client;
use auth::{AuthenticationSettings, Authenticator, Certificate, Clock, Rejection};
use chassis::Process;
use chassis::config::ConfigError;
use chassis::error::Fault;
use chassis::server::{Operator, Peer};
use futures::FutureExt;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Extensions, Response};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;

use super::challenge;
use crate::call::{self, lease::Lease};
use crate::failure::Failure;

use resource::Resource;

/// The beginning of a credential of HTTP Basic.
const BASIC: &[u8] = b"Basic ";

/// Finds who calls. Clones are the same; keys are kept fresh until the last one is dropped, and
/// the last stream has ended that it has let in.
#[derive(Clone)]
pub(crate) struct Authentication(Arc<Inner>);

struct Inner {
    settings: AuthenticationSettings,
    authenticator: Authenticator,
    /// Headers that end here: credentials, and other spellings of them.
    hidden: Vec<HeaderName>,
    resource: Option<Resource>,
    challenge: HeaderValue,
    _stop: DropGuard,
}

// === impl Authentication ===

impl Authentication {
    /// `None` if no credential is accepted. With the settings of the one before it is that one,
    /// which knows keys and callers. `prefix` is that of headers that become metadata.
    ///
    /// # Errors
    /// The key that does not fit.
    pub(crate) fn new(
        settings: &AuthenticationSettings,
        prefix: &str,
        before: Option<&Self>,
        metrics: &auth::Metrics,
        process: &Process,
    ) -> Result<Option<Self>, ConfigError> {
        let hidden = hidden(settings, prefix)?;
        let stays = |known: &&Self| known.0.settings == *settings && known.0.hidden == hidden;
        if let Some(known) = before.filter(stays) {
            return Ok(Some(known.clone()));
        }
        if !settings.is_on() {
            return Ok(None);
        }
        let authenticator = Authenticator::new(settings, Clock::default(), metrics.clone())?;
        if let Some(before) = before {
            authenticator.inherit(&before.0.authenticator);
        }
        let resource = Resource::new(settings)?;
        let stop = process.shutdown().child_token();
        let kept = authenticator.clone().run(stop.clone());
        process.spawn("authentication", kept.map(Ok::<(), anyhow::Error>));
        let challenge = resource.as_ref().map(Resource::challenge);
        Ok(Some(Self(Arc::new(Inner {
            settings: settings.clone(),
            authenticator,
            hidden,
            challenge: challenge.unwrap_or(HeaderValue::from_static("Bearer")),
            resource,
            _stop: CancellationToken::drop_guard(stop),
        }))))
    }

    /// Returns the challenge of a 401 that has none.
    pub(super) fn challenge(&self) -> &HeaderValue {
        &self.0.challenge
    }

    /// Answers a request for the metadata of this API (RFC 9728 §3).
    pub(super) fn answer(&self, head: &Parts) -> Option<Response<Body>> {
        self.0.resource.as_ref()?.answer(head)
    }

    /// Adds the identity of the caller to the extensions, and takes away its credential. An
    /// operator's was checked by the listener. HTTP Basic is for the service of a public method, as
    /// an issuer checks its clients (RFC 6749 §2.3.1).
    pub(super) async fn admit(
        &self,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        deadline: Option<Instant>,
        passes_basic: bool,
    ) -> Result<(), Failure> {
        if extensions.get::<Operator>().is_some() {
            return Ok(());
        }
        if passes_basic {
            let others = self.0.hidden.iter().filter(|name| **name != AUTHORIZATION);
            others.for_each(|name| drop(headers.remove(name)));
            return Ok(());
        }
        let authenticator = &self.0.authenticator;
        // A certificate is a pointer away, and stays there while the extensions change.
        let session = session(extensions).cloned();
        let certificate = session.as_ref().and_then(certificate);
        let presented = authenticator.presented(headers, certificate);
        if let Some(presented) = presented.map_err(|rejection| self.refuse(rejection))? {
            let verified = match authenticator.recall(&presented) {
                Some(known) => known,
                None => {
                    // Boxed to keep the future small.
                    let verifying = authenticator.verify(&presented).boxed();
                    let verifying = verifying.map(Ok::<_, Status>);
                    call::within(deadline, verifying).await?
                }
            };
            let verified = verified.map_err(|rejection| self.refuse(rejection))?;
            extensions.insert(verified.identity.clone());
            let lease = authenticator.lease(&verified, &presented);
            extensions.insert(Lease::new(lease, self.0.clone()));
        }
        for name in &self.0.hidden {
            headers.remove(name);
        }
        Ok(())
    }

    /// The failure of a credential, with the challenge that says why (RFC 6750 §3).
    fn refuse(&self, rejection: Rejection) -> Failure {
        let mut failure = Failure::from(Fault::from(rejection));
        if let Some(error) = rejection.challenge_error() {
            let description = rejection.to_string();
            failure.header = challenge::with_error(self.challenge(), error, &description, &[]);
        }
        failure
    }
}

/// Returns whether the only credential in headers is one of HTTP Basic (RFC 7617).
pub(super) fn is_basic(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let scheme = |value: &HeaderValue| {
        let scheme = value.as_bytes().get(..BASIC.len());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(BASIC))
    };
    all.next().is_some_and(scheme) && all.next().is_none()
}

/// Returns the TLS session of the client itself: that of a trusted proxy is of all its clients.
fn session(extensions: &Extensions) -> Option<&Arc<chassis::server::Session>> {
    match extensions.get::<Client>() {
        Some(Client::Certificate(_)) => extensions.get::<Peer>()?.tls.as_ref(),
        _ => None,
    }
}

fn certificate(session: &Arc<chassis::server::Session>) -> Option<Certificate<'_>> {
    let certificate = session.certificate.as_ref()?;
    Some(Certificate {
        subject: &certificate.subject,
        uris: &certificate.uris,
        dns_names: &certificate.dns_names,
        expires: certificate.not_after,
        der: &certificate.der,
    })
}

/// Returns the headers that no upstream gets.
fn hidden(settings: &AuthenticationSettings, prefix: &str) -> Result<Vec<HeaderName>, ConfigError> {
    let mut credentials = vec![AUTHORIZATION];
    if settings.has_keys() {
        credentials.push(settings.key_header()?);
    }
    let mut hidden = Vec::new();
    // They would become the same metadata, and were not verified.
    if !prefix.is_empty() {
        let spelled = credentials.iter().map(|name| format!("{prefix}{name}"));
        hidden.extend(spelled.filter_map(|name| name.parse::<HeaderName>().ok()));
    }
    if !settings.forward_credentials {
        hidden.extend(credentials);
    }
    Ok(hidden)
}
