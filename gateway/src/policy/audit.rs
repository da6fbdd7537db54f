//! The audit trail: each call that may change something before its upstream gets anything of it,
//! its outcome, and the calls that are denied.

use std::sync::Arc;

use audit::{Call, Caller, Settings, Trail};
use auth::Identity;
use chassis::Process;
use chassis::config::ConfigError;
use chassis::error::{self, Fault};
use chassis::observe::{self, RequestRecord};
use futures::FutureExt as _;
use http::Extensions;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use transcoder::{Idempotency, MethodKind, MethodPlan};

use super::client_address::ClientAddress;
use crate::api::Catalog;
use crate::call::{Condition, FirstMessageCheck, Record};

/// The trail of the process, if there is one; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Audit(Option<Trail>);

/// Extension of a request: the protocol that the caller speaks.
#[derive(Clone, Copy)]
struct Spoken(&'static str);

/// A call on its way to the check of its first message.
struct Recorded {
    trail: Trail,
    catalog: Arc<Catalog>,
    call: Call,
    record: RequestRecord,
}

// === impl Audit ===

impl Audit {
    /// Begins the trail that is configured, once for the life of the process.
    ///
    /// # Errors
    /// A key out of its range.
    pub(crate) fn begin(settings: &Settings, process: &Process) -> Result<Self, ConfigError> {
        settings.check()?;
        if !settings.is_set() {
            return Ok(Self::default());
        }
        let (trail, written) = Trail::begin(settings, process.name(), process.shutdown());
        process.spawn("audit", written.map(Ok::<(), anyhow::Error>));
        let shown = trail.clone();
        process
            .metrics()
            .extend(move |encoder| shown.write(encoder));
        Ok(Self(Some(trail)))
    }

    /// Notes the protocol of a request.
    pub(crate) fn note(&self, extensions: &mut Extensions, protocol: &'static str) {
        if self.0.is_some() {
            extensions.insert(Spoken(protocol));
        }
    }

    /// Records a call that is refused, if it is for who the caller is.
    pub(crate) fn refused(
        &self,
        catalog: &Catalog,
        method: Option<&str>,
        extensions: &Extensions,
        status: &Status,
    ) {
        let served = method.filter(|method| catalog.owner(method).is_some());
        if let (Some(trail), Some(method)) = (&self.0, served) {
            deny(trail, call(method, extensions), status);
        }
    }

    /// Adds the record of a call to the check of its first message. Only a method that is known to
    /// be free of side effects has none.
    pub(crate) fn watch(
        &self,
        catalog: &Arc<Catalog>,
        path: &str,
        method: Option<&MethodPlan>,
        extensions: &Extensions,
        condition: Option<Condition>,
    ) -> Option<FirstMessageCheck> {
        let Some(trail) = &self.0 else {
            return condition.map(|condition| FirstMessageCheck {
                condition: Some(condition),
                ..FirstMessageCheck::default()
            });
        };
        let is_read = method.map(MethodPlan::idempotency) == Some(Idempotency::NoSideEffects);
        if is_read && condition.is_none() {
            return None;
        }
        let recorded = Arc::new(Recorded {
            trail: trail.clone(),
            catalog: catalog.clone(),
            call: call(path, extensions),
            record: observe::current(),
        });
        let watched = recorded.clone();
        let kind = method.map(MethodPlan::kind);
        Some(FirstMessageCheck {
            condition: condition.map(|condition| watched.watch(condition)),
            record: (!is_read).then(|| recorded.record()),
            records_at_once: matches!(kind, None | Some(MethodKind::BidiStreaming)),
        })
    }
}

// === impl Recorded ===

impl Recorded {
    /// Records denials of a condition.
    fn watch(self: Arc<Self>, condition: Condition) -> Condition {
        Arc::new(move |metadata, message| {
            condition(metadata, message)
                .inspect_err(|status| deny(&self.trail, self.of_message(Some(message)), status))
        })
    }

    fn record(self: Arc<Self>) -> Record {
        Arc::new(move |message| {
            let mut call = self.of_message(message);
            if let Ok(policy) = self.catalog.access.ruling(&call.method).policy() {
                call.rule = policy.describe();
            }
            let (trail, record) = (self.trail.clone(), self.record.clone());
            let admitted = async move {
                let ticket = trail.admit(call).await.map_err(|_| unavailable())?;
                record.at_end(|code| ticket.end(code));
                Ok(())
            };
            admitted.boxed()
        })
    }

    fn of_message(&self, message: Option<&[u8]>) -> Call {
        let Some(message) = message else {
            return self.call.clone();
        };
        let names = self.catalog.names.of(&self.call.method, message);
        Call {
            digest: Sha256::digest(message).to_vec(),
            request_id: names.request_id,
            resource: names.resource,
            ..self.call.clone()
        }
    }
}

fn call(method: &str, extensions: &Extensions) -> Call {
    let identity = extensions.get::<Arc<Identity>>();
    let client = extensions.get::<ClientAddress>();
    let spoken = extensions.get::<Spoken>();
    Call {
        caller: identity.map(|identity| Caller::from(&**identity)),
        method: method.to_owned(),
        protocol: spoken.map_or("", |spoken| spoken.0).to_owned(),
        address: client.map_or_else(String::new, |client| client.address.to_string()),
        ..Call::default()
    }
}

/// Records a denial; a refusal for another reason, such as a limit, is none.
fn deny(trail: &Trail, call: Call, status: &Status) {
    let code = status.code();
    if matches!(code, Code::Unauthenticated | Code::PermissionDenied) {
        let reason = error::reason(status).unwrap_or_default();
        trail.deny(call, &reason, code);
    }
}

fn unavailable() -> Status {
    let message = "this call can't be recorded, and was not made";
    Fault::new(Code::Unavailable, "AUDIT_UNAVAILABLE", message).into()
}
