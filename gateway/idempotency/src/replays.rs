//! Calls with a key: made once, then replayed.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache::Answer;
use contract::{IdempotencyKey, StoreAway};
use prometheus_client::encoding::DescriptorEncoder;
use rpc::error::Fault;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use valkey::Valkey;

use crate::key::{Fingerprint, Request};
use crate::metrics::{Figures, Outcome};
use crate::record::{self, Record};
use crate::store::Place;

/// The reason of a key that was used for another request.
pub const KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";

/// When a caller should ask again about a call in flight.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bounds of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest answer that is kept, in bytes. Beyond, a repeated call is told that it has been.
    pub max_answer_bytes: usize,
    /// How long the mark of a call in flight outlives its process.
    pub lease: Duration,
    /// How long a call without a deadline runs on when its caller has left.
    pub abandoned: Duration,
}

/// The outcomes of calls by their keys; clones are the same.
#[derive(Clone)]
pub struct Replays {
    inner: Arc<Inner>,
}

struct Inner {
    store: Valkey,
    settings: Settings,
    figures: Figures,
}

/// An answer, and whether an earlier call has got it first.
#[derive(Debug)]
pub struct Replied {
    /// The answer; an error that is replayed is one, too.
    pub outcome: Result<Answer, Status>,
    /// Whether it is an earlier call's.
    pub is_replayed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_answer_bytes: 256 << 10,
            lease: Duration::from_secs(30),
            abandoned: Duration::from_secs(60),
        }
    }
}

// === impl Replays ===

impl Replays {
    /// Keeps outcomes in this store.
    pub fn new(store: Valkey, settings: Settings) -> Self {
        let figures = Figures::default();
        let inner = Inner {
            store,
            settings,
            figures,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Writes the figures for a scrape.
    ///
    /// # Errors
    /// The encoder's.
    pub fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.inner.figures.write(encoder)
    }

    /// Makes a call of a caller who may make it, or replays its outcome. The call runs on if its
    /// caller leaves.
    ///
    /// # Errors
    /// The call was not made: it lacks its key (INVALID_ARGUMENT), its key is another request's
    /// (INVALID_ARGUMENT), it is in flight (ABORTED), or the store is away (UNAVAILABLE).
    pub async fn run<F>(
        &self,
        policy: &IdempotencyKey,
        request: Request<'_>,
        call: F,
    ) -> Result<Replied, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send + 'static,
    {
        let Some(key) = request.key else {
            return match policy.is_required {
                true => Err(missing(policy).into()),
                false => Ok(Replied::first(call.await)),
            };
        };
        let inner = &self.inner;
        let (fingerprint, owner) = (request.fingerprint(), uuid::Uuid::new_v4().into_bytes());
        let place = Place {
            store: inner.store.clone(),
            name: inner.store.key(&["idempotency", &request.name(key)]),
            mark: record::mark(&fingerprint, &owner),
        };
        let found = match place.begin(inner.settings.lease).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "no mark of a call with an idempotency key");
                inner.figures.count(Outcome::StoreAway);
                return match policy.store_away {
                    StoreAway::Closed => Err(store_away().into()),
                    StoreAway::Open => Ok(Replied::first(call.await)),
                };
            }
        };
        match found {
            Some(value) => inner.replay(&value, &fingerprint),
            None => {
                inner.figures.count(Outcome::First);
                let flight = Flight {
                    inner: inner.clone(),
                    place,
                    fingerprint,
                    ttl: policy.ttl,
                    has_deadline: request.deadline.is_some(),
                };
                flight.run(call).await.map(Replied::first)
            }
        }
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.inner.settings;
        formatter.debug_tuple("Replays").field(settings).finish()
    }
}

impl Replied {
    fn first(outcome: Result<Answer, Status>) -> Self {
        Self {
            outcome,
            is_replayed: false,
        }
    }
}

// === impl Inner ===

impl Inner {
    /// Answers a call whose key is known.
    fn replay(&self, value: &[u8], asked: &Fingerprint) -> Result<Replied, Status> {
        let Some(record) = record::read(value) else {
            // Another version of the gateway has written it: whether the call was made is unknown.
            self.figures.count(Outcome::InFlight);
            return Err(in_flight().into());
        };
        let (Record::InFlight(fingerprint)
        | Record::TooLarge(fingerprint)
        | Record::Ended(fingerprint, _)) = &record;
        if fingerprint != asked {
            self.figures.count(Outcome::Reused);
            return Err(reused().into());
        }
        match record {
            Record::InFlight(_) => {
                self.figures.count(Outcome::InFlight);
                Err(in_flight().into())
            }
            Record::TooLarge(_) => {
                self.figures.count(Outcome::Replayed);
                let outcome = Err(too_large().into());
                Ok(Replied {
                    outcome,
                    is_replayed: true,
                })
            }
            Record::Ended(_, outcome) => {
                self.figures.count(Outcome::Replayed);
                Ok(Replied {
                    outcome: *outcome,
                    is_replayed: true,
                })
            }
        }
    }
}

/// A call that is being made.
struct Flight {
    inner: Arc<Inner>,
    place: Place,
    fingerprint: Fingerprint,
    ttl: Duration,
    has_deadline: bool,
}

impl Flight {
    /// Makes the call in a task of its own, which outlives the caller.
    async fn run<F>(self, call: F) -> Result<Result<Answer, Status>, Status>
    where
        F: Future<Output = Result<Answer, Status>> + Send + 'static,
    {
        let gone = CancellationToken::new();
        let _caller = gone.clone().drop_guard();
        let task = tokio::spawn(async move {
            let outcome = self.make(call, gone).await;
            self.settle(&outcome).await;
            outcome
        });
        task.await
            .map_err(|error| Status::from(rpc::error::internal(error)))
    }

    /// Makes the call, and renews its mark meanwhile.
    async fn make(
        &self,
        call: impl Future<Output = Result<Answer, Status>>,
        gone: CancellationToken,
    ) -> Result<Answer, Status> {
        let Settings {
            lease, abandoned, ..
        } = self.inner.settings;
        let given_up = async {
            gone.cancelled().await;
            match self.has_deadline {
                true => std::future::pending().await,
                false => sleep(abandoned).await,
            }
        };
        let (mut call, mut given_up) = (pin!(call), pin!(given_up));
        loop {
            tokio::select! {
                outcome = &mut call => return outcome,
                () = &mut given_up => return Err(Status::cancelled("the caller has left")),
                () = sleep(lease / 3) => {}
            }
            if let Err(error) = self.place.renew(lease).await {
                tracing::debug!(%error, "mark of a call in flight not renewed");
            }
        }
    }

    /// Stores an outcome that stands, and frees the key of another one.
    async fn settle(&self, outcome: &Result<Answer, Status>) {
        let is_final = outcome
            .as_ref()
            .map_or_else(|status| is_final(status.code()), |_| true);
        let stored = match is_final {
            true => {
                let most = self.inner.settings.max_answer_bytes;
                let value = record::ended(&self.fingerprint, outcome, most);
                self.place.end(&value, self.ttl).await
            }
            false => self.place.free().await,
        };
        if let Err(error) = stored {
            self.inner.figures.count(Outcome::NotStored);
            tracing::warn!(%error, "outcome of a call with an idempotency key not stored");
        }
    }
}

/// Returns whether an error is what the service has decided about the request, in the state that it
/// was in. Others may not have reached it (UNAVAILABLE, RESOURCE_EXHAUSTED), leave open what has
/// happened (DEADLINE_EXCEEDED, CANCELLED, UNKNOWN, INTERNAL, DATA_LOSS), ask for another try
/// (ABORTED), are about the credential (UNAUTHENTICATED, PERMISSION_DENIED) or about the request
/// alone, which is told the same again (INVALID_ARGUMENT, UNIMPLEMENTED).
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange
    )
}

fn missing(policy: &IdempotencyKey) -> Fault {
    let place = match &policy.field {
        Some(field) => format!("the field `{field}`"),
        None => "the header `idempotency-key`".to_owned(),
    };
    let message = format!("the method needs an idempotency key in {place}");
    let fault = Fault::invalid_argument("IDEMPOTENCY_KEY_MISSING", message);
    match &policy.field {
        Some(field) => fault.violation(field, "is required"),
        None => fault,
    }
}

fn reused() -> Fault {
    let message = "the idempotency key belongs to another request of this caller";
    Fault::invalid_argument(KEY_REUSED, message)
}

fn in_flight() -> Fault {
    let message = "a call with this idempotency key is in flight";
    Fault::aborted("IDEMPOTENCY_IN_FLIGHT", message).retry_after(RETRY_AFTER)
}

fn too_large() -> Fault {
    let message = "the call has been made and went well; its answer was too large to be kept";
    Fault::already_exists("IDEMPOTENCY_ANSWER_TOO_LARGE", message)
}

fn store_away() -> Fault {
    let message = "the store of idempotency keys is away; the call was not made";
    Fault::unavailable("IDEMPOTENCY_STORE_AWAY", message).retry_after(RETRY_AFTER)
}
