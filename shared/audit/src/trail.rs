//! The trail as callers use it: an entry before a call, one after it, and one for a denial.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use auth::{Credential, Identity};
use prometheus_client::encoding::DescriptorEncoder;
use rpc::error::code_name;
use rpc::lock::lock;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::pb::mesh::audit::v1::entry::Content;
use crate::pb::mesh::audit::v1::{Call, Caller, Denial, Outcome};
use crate::settings::{Settings, WhenFull};
use crate::writer::{Item, Status, Writer};

/// Longest text of an entry, in bytes; a longer one is recorded as its SHA-256.
const MAX_TEXT: usize = 256;

/// The audit trail of a process; clones are the same.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    items: mpsc::Sender<Item>,
    status: Arc<Status>,
    settings: Settings,
    /// Number of the last call.
    calls: AtomicU64,
    denials: Mutex<Second>,
}

/// Denials of one second.
#[derive(Debug)]
struct Second {
    began: Instant,
    denials: u64,
}

/// A recorded call, whose end is recorded too: as CANCELLED unless [`Ticket::end`] says more.
#[derive(Debug)]
#[must_use = "dropping this records the end of the call"]
pub struct Ticket {
    /// `None` where the call itself was not recorded.
    trail: Option<Trail>,
    call: u64,
    code: Code,
}

/// A write whose entry can't be recorded, under `when_full = "refuse"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail can't record this call")]
pub struct NotRecorded;

/// The part of the queue that a kind of entry may fill, so that denials leave room for calls, and
/// calls for the ends of those before them.
#[derive(Clone, Copy)]
enum Share {
    Denial,
    Call,
    Outcome,
}

impl Trail {
    /// Begins the trail of the process `name`. The future writes it until `shutdown`, which must
    /// come after the last call; it takes one `timeout_ms` longer at most if the stream is away.
    pub fn begin(
        settings: &Settings,
        name: &str,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        // There is a place for each entry that has one of `waiting`.
        let places = usize::try_from(settings.queue).unwrap_or(usize::MAX);
        let (items, received) = mpsc::channel(places);
        let status = Arc::new(Status::default());
        let writer = Writer::new(plain(name), settings.clone(), status.clone(), received);
        let trail = Self(Arc::new(Shared {
            items,
            status,
            settings: settings.clone(),
            calls: AtomicU64::new(0),
            denials: Mutex::new(Second {
                began: Instant::now(),
                denials: 0,
            }),
        }));
        (trail, writer.run(shutdown))
    }

    /// Records a call before its service gets anything of it.
    ///
    /// Under `when_full = "refuse"` it waits until the entry is in the stream, for `timeout_ms` at
    /// most, and not at all while the stream is known to be away.
    ///
    /// # Errors
    /// The call must not go on.
    pub async fn admit(&self, call: Call) -> Result<Ticket, NotRecorded> {
        let shared = &self.0;
        let must_record = shared.settings.when_full == WhenFull::Refuse;
        let is_away = shared.status.is_away.load(Ordering::Acquire);
        if (must_record && is_away) || !self.reserve(Share::Call) {
            return match must_record {
                true => Err(self.refused()),
                false => {
                    self.dropped();
                    Ok(Ticket {
                        trail: None,
                        call: 0,
                        code: Code::Cancelled,
                    })
                }
            };
        }
        let number = shared.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut ticket = Ticket {
            trail: Some(self.clone()),
            call: number,
            code: Code::Cancelled,
        };
        let call = Call {
            number,
            ..bounded(call)
        };
        let (sender, recorded) = oneshot::channel();
        self.send(Content::Admitted(call), must_record.then_some(sender));
        if !must_record {
            return Ok(ticket);
        }
        match timeout(shared.settings.timeout(), recorded).await {
            Ok(Ok(())) => Ok(ticket),
            _ => {
                ticket.code = Code::Unavailable;
                Err(self.refused())
            }
        }
    }

    /// Records a denial, and waits for nothing. Beyond the bounds it is counted.
    pub fn deny(&self, call: Call, reason: &str, code: Code) {
        if !self.has_turn() || !self.reserve(Share::Denial) {
            return self.dropped();
        }
        let denial = Denial {
            call: Some(bounded(call)),
            reason: reason.to_owned(),
            code: code_name(code).to_owned(),
        };
        self.send(Content::Denied(denial), None);
    }

    /// Writes the metrics of the trail.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0.status;
        let waiting = status.waiting.load(Ordering::Acquire);
        let is_up = status.is_up.load(Ordering::Acquire);
        status.figures.write(waiting, is_up, encoder)
    }

    fn end(&self, call: u64, code: Code) {
        match self.reserve(Share::Outcome) {
            true => {
                let code = code_name(code).to_owned();
                self.send(Content::Outcome(Outcome { call, code }), None);
            }
            false => self.dropped(),
        }
    }

    fn send(&self, content: Content, recorded: Option<oneshot::Sender<()>>) {
        let not_recorded = self.0.status.figures.dropped.get();
        let item = Item {
            recorded,
            ..Item::now(content, not_recorded)
        };
        // The writer ends after the last call.
        if self.0.items.try_send(item).is_err() {
            self.0.status.waiting.fetch_sub(1, Ordering::AcqRel);
            self.dropped();
        }
    }

    /// Takes a place in the queue, if there is one for its kind.
    fn reserve(&self, share: Share) -> bool {
        let all = self.0.settings.queue;
        let most = match share {
            Share::Denial => all / 4,
            Share::Call => all / 2,
            Share::Outcome => all,
        };
        let taken = |waiting| (waiting < most).then_some(waiting + 1);
        let waiting = &self.0.status.waiting;
        let reserved = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken);
        reserved.is_ok()
    }

    /// Returns whether a denial may be recorded in this second.
    fn has_turn(&self) -> bool {
        let mut second = lock(&self.0.denials);
        if second.began.elapsed() >= Duration::from_secs(1) {
            *second = Second {
                began: Instant::now(),
                denials: 0,
            };
        }
        second.denials += 1;
        second.denials <= self.0.settings.denials_per_second
    }

    fn refused(&self) -> NotRecorded {
        self.0.status.figures.refused.add(1);
        NotRecorded
    }

    fn dropped(&self) {
        self.0.status.figures.dropped.add(1);
    }
}

// === impl Ticket ===

impl Ticket {
    /// Records the end of the call.
    pub fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(trail) = self.trail.take() {
            trail.end(self.call, self.code);
        }
    }
}

impl From<&Identity> for Caller {
    fn from(identity: &Identity) -> Self {
        let credential = match identity.credential {
            Credential::Token => "token",
            Credential::Key => "key",
            Credential::Certificate => "certificate",
            Credential::Process => "process",
        };
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            tenant: identity.tenant.clone().unwrap_or_default(),
            credential: credential.to_owned(),
        }
    }
}

/// Returns a call whose texts are bounded.
fn bounded(call: Call) -> Call {
    Call {
        caller: call.caller.map(|caller| Caller {
            issuer: text(caller.issuer),
            subject: text(caller.subject),
            tenant: text(caller.tenant),
            credential: text(caller.credential),
        }),
        method: text(call.method),
        rule: text(call.rule),
        request_id: text(call.request_id),
        resource: text(call.resource),
        ..call
    }
}

fn text(text: String) -> String {
    match text.len() <= MAX_TEXT {
        true => text,
        false => format!("sha256:{:x}", Sha256::digest(&text)),
    }
}

/// Returns the name of a process as a part of subjects.
fn plain(name: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '-',
    };
    name.chars().take(64).map(plain).collect()
}

#[cfg(test)]
mod tests;
