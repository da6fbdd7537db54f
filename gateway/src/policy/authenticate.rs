//! Authentication: who calls, by the credential that the request presents.

use std::sync::Arc;

use auth::{AuthenticationSettings, Authenticator, Clock, Presented, Rejection};
use chassis::Process;
use chassis::config::ConfigError;
use chassis::error::Fault;
use chassis::server::Operator;
use futures::FutureExt;
use http::Extensions;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::call;
use crate::failure::Failure;

/// Finds who calls. Clones are the same; keys are kept up to date until the last one is dropped.
#[derive(Clone)]
pub(crate) struct Authentication(Arc<Inner>);

struct Inner {
    settings: AuthenticationSettings,
    authenticator: Authenticator,
    /// Headers that end here: credentials, and other spellings of them.
    hidden: Vec<HeaderName>,
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
        let hidden = hidden(settings, prefix);
        let stays = |known: &&Self| known.0.settings == *settings && known.0.hidden == hidden;
        if let Some(known) = before.filter(stays) {
            return Ok(Some(known.clone()));
        }
        if !settings.is_on() {
            return Ok(None);
        }
        let authenticator = Authenticator::new(settings, Clock::default(), metrics.clone())?;
        let stop = process.shutdown().child_token();
        let kept = authenticator.clone().run(stop.clone());
        process.spawn("authentication", kept.map(Ok::<(), anyhow::Error>));
        Ok(Some(Self(Arc::new(Inner {
            settings: settings.clone(),
            authenticator,
            hidden,
            challenge: HeaderValue::from_static("Bearer"),
            _stop: CancellationToken::drop_guard(stop),
        }))))
    }

    /// Returns the challenge of a 401 that has none.
    pub(super) fn challenge(&self) -> &HeaderValue {
        &self.0.challenge
    }

    /// Adds the identity of the caller to the extensions, and takes away its credential. An
    /// operator's was checked by the listener.
    pub(super) async fn admit(
        &self,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        deadline: Option<Instant>,
    ) -> Result<(), Failure> {
        if extensions.get::<Operator>().is_some() {
            return Ok(());
        }
        let inner = &*self.0;
        let presented = Presented::of(headers).map_err(|rejection| self.refuse(rejection))?;
        if let Some(presented) = presented {
            let verified = match inner.authenticator.recall(&presented) {
                Some(known) => known,
                None => {
                    // Boxed to keep the future small.
                    let verifying = inner.authenticator.verify(&presented).boxed();
                    let verifying = verifying.map(Ok::<_, Status>);
                    call::within(deadline, verifying).await?
                }
            };
            let verified = verified.map_err(|rejection| self.refuse(rejection))?;
            extensions.insert(verified.identity.clone());
        }
        for name in &inner.hidden {
            headers.remove(name);
        }
        Ok(())
    }

    /// The failure of a credential, with the challenge that says why (RFC 6750 §3).
    fn refuse(&self, rejection: Rejection) -> Failure {
        let mut failure = Failure::from(Fault::from(rejection));
        if let Some(error) = rejection.challenge_error() {
            let scheme = self.0.challenge.to_str().unwrap_or_default();
            let separator = if scheme == "Bearer" { " " } else { ", " };
            // Descriptions are fixed texts without quotation marks.
            let challenge =
                format!("{scheme}{separator}error=\"{error}\", error_description=\"{rejection}\"");
            let challenge = HeaderValue::try_from(challenge).ok();
            failure.header = challenge.map(|value| (WWW_AUTHENTICATE, value));
        }
        failure
    }
}

/// Returns the headers that no upstream gets.
fn hidden(settings: &AuthenticationSettings, prefix: &str) -> Vec<HeaderName> {
    let mut hidden = Vec::new();
    if !settings.forward_credentials {
        hidden.push(AUTHORIZATION);
    }
    // It would become the same metadata, and was not verified.
    if !prefix.is_empty() {
        hidden.extend(
            format!("{prefix}{AUTHORIZATION}")
                .parse::<HeaderName>()
                .ok(),
        );
    }
    hidden
}
