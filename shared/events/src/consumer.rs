//! A consumer: the facts that it reads, and a handler for each type.

pub(crate) mod inbox;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use contract::Event;
use facts::envelope::Fact;
use facts::error::Error;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

/// A function of the connection and `P`, the encoded facts.
type Call<P> = dyn for<'a> Fn(&'a mut PgConnection, P) -> BoxFuture<'a, Result<(), HandlerError>>
    + Send
    + Sync;

#[derive(Clone)]
enum Handler {
    Each(Arc<Call<Bytes>>),
    Batch(Arc<Call<Vec<Bytes>>>),
}

/// Reads the facts of one kind of aggregate, in order per key, each applied exactly once in this
/// process's database.
///
/// Facts that are due are applied in batches: those of many keys in one transaction. If one of them
/// fails, savepoints find it, and the others are applied without it.
///
/// ```
/// # use events::{Consumer, HandlerError};
/// # fn consumer<InvoiceAccepted: contract::Event>() -> Consumer {
/// Consumer::new("orders.invoices", "ingest", "account")
///     .on::<InvoiceAccepted>(|tx, fact| Box::pin(async move {
///         if fact.key().starts_with('?') {
///             return Err(HandlerError::poison("an account without a number"));
///         }
///         sqlx::query("SELECT 1").execute(&mut *tx).await?;
///         Ok(())
///     }))
/// # }
/// ```
#[derive(Clone)]
pub struct Consumer {
    pub(crate) name: String,
    pub(crate) context: String,
    pub(crate) aggregate: String,
    handlers: HashMap<&'static str, Handler>,
    /// A handled type of another aggregate: an error of the caller.
    stray: Option<&'static str>,
}

/// Why a fact could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// May succeed later: retried with growing pauses, until the budget in the settings is spent.
    #[error("a transient failure")]
    Transient(#[source] Box<dyn StdError + Send + Sync>),
    /// Will never succeed: the key is parked at once.
    #[error("{reason}")]
    Poison {
        /// Information for the operator.
        reason: String,
    },
}

// === impl Consumer ===

impl Consumer {
    /// Starts a consumer that reads every fact about `aggregate` in `context`.
    ///
    /// `name` identifies it for ever, in JetStream and in this process's inbox: lower-case letters,
    /// digits, `.` and `-`. Facts of types without a handler count as applied.
    pub fn new(
        name: impl Into<String>,
        context: impl Into<String>,
        aggregate: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            context: context.into(),
            aggregate: aggregate.into(),
            handlers: HashMap::new(),
            stray: None,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the context and the kind of aggregate that it reads.
    pub fn reads(&self) -> (&str, &str) {
        (&self.context, &self.aggregate)
    }

    /// Calls `handler` for each fact of type `E`, in the transaction that also records it as
    /// applied.
    ///
    /// Effects outside of that transaction may happen more than once. A malformed payload is
    /// poison.
    #[must_use]
    pub fn on<E: Event>(
        self,
        handler: impl for<'a> Fn(&'a mut PgConnection, E) -> BoxFuture<'a, Result<(), HandlerError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let call = higher_ranked(move |tx, payload| match decode(payload) {
            Ok(fact) => handler(tx, fact),
            Err(error) => Box::pin(future::ready(Err(error))),
        });
        self.handle::<E>(Handler::Each(Arc::new(call)))
    }

    /// Calls `handler` with all facts of type `E` in a batch, for effects that one statement has
    /// for many rows; otherwise like [`Consumer::on`].
    ///
    /// The facts of one key are in order. Facts of other types between two of them divide them into
    /// two calls. When a call fails, halves of its facts are tried, down to the one that fails.
    ///
    /// ```
    /// # use events::Consumer;
    /// # fn consumer<Counted: contract::Event>() -> Consumer {
    /// Consumer::new("audit.stock", "warehouse", "stock").on_batch::<Counted>(|tx, facts| {
    ///     Box::pin(async move {
    ///         let skus: Vec<String> = facts.iter().map(|fact| fact.key().to_owned()).collect();
    ///         sqlx::query("INSERT INTO counted (sku) SELECT unnest($1::text[])")
    ///             .bind(skus)
    ///             .execute(tx)
    ///             .await?;
    ///         Ok(())
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_batch<E: Event>(
        self,
        handler: impl for<'a> Fn(
            &'a mut PgConnection,
            Vec<E>,
        ) -> BoxFuture<'a, Result<(), HandlerError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let call = higher_ranked(move |tx, payloads: Vec<Bytes>| {
            match payloads.into_iter().map(decode).collect() {
                Ok(facts) => handler(tx, facts),
                Err(error) => Box::pin(future::ready(Err(error))),
            }
        });
        self.handle::<E>(Handler::Batch(Arc::new(call)))
    }

    fn handle<E: Event>(mut self, handler: Handler) -> Self {
        if (E::CONTEXT, E::AGGREGATE) != (self.context.as_str(), self.aggregate.as_str()) {
            self.stray = Some(E::TYPE);
        }
        self.handlers.insert(E::TYPE, handler);
        self
    }

    /// Calls the handler of `kind` with one payload, if there is a handler. Contains panics, and
    /// ends after `limit`.
    pub(crate) async fn apply(
        &self,
        tx: &mut PgConnection,
        kind: &str,
        payload: Bytes,
        limit: Duration,
    ) -> Result<(), HandlerError> {
        let Some(handler) = self.handlers.get(kind) else {
            return Ok(());
        };
        let handled = async {
            limit_statements(tx, limit).await?;
            match handler {
                Handler::Each(call) => contained(tx, &**call, payload).await,
                Handler::Batch(call) => contained(tx, &**call, vec![payload]).await,
            }
        };
        match timeout(limit, handled).await {
            Ok(result) => result,
            Err(elapsed) => Err(HandlerError::transient(elapsed)),
        }
    }

    /// Calls the handler of `kind` with `facts`, all of that type, if there is a handler. Contains
    /// panics.
    pub(crate) async fn apply_all(
        &self,
        tx: &mut PgConnection,
        kind: &str,
        facts: &[&Fact],
    ) -> Result<(), HandlerError> {
        match self.handlers.get(kind) {
            None => Ok(()),
            Some(Handler::Each(call)) => {
                for fact in facts {
                    let span = self.span(kind, &[fact]);
                    contained(tx, &**call, fact.payload.clone())
                        .instrument(span)
                        .await?;
                }
                Ok(())
            }
            Some(Handler::Batch(call)) => {
                let payloads = facts.iter().map(|fact| fact.payload.clone()).collect();
                let span = self.span(kind, facts);
                contained(tx, &**call, payloads).instrument(span).await
            }
        }
    }

    /// Opens the span of a call: a child of its fact's origin, or linked to the origins of several.
    fn span(&self, kind: &str, facts: &[&Fact]) -> Span {
        let span = tracing::info_span!(
            "consume",
            otel.name = format!("consume {kind}"),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.destination.name = facts.first().map(|fact| &*fact.subject),
            messaging.consumer.group.name = self.name,
            messaging.batch.message_count = facts.len(),
        );
        let origins = facts.iter().filter_map(|fact| fact.traceparent.as_deref());
        match facts {
            [_] => origins.for_each(|origin| chassis::telemetry::set_parent(&span, origin)),
            _ => origins.for_each(|origin| chassis::telemetry::link(&span, origin)),
        }
        span
    }

    /// Returns the name for JetStream, where a dot would split a subject.
    pub(crate) fn durable_name(&self) -> String {
        self.name.replace('.', "_")
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if self.name.is_empty() || !self.name.chars().all(allowed) {
            return Err(Error::ConsumerName(self.name.clone()));
        }
        match self.stray {
            None => Ok(()),
            Some(kind) => Err(Error::Mismatch {
                name: self.name.clone(),
                field: "context and aggregate of a handled type",
                found: kind.to_owned(),
                expected: format!("a fact about {}.{}", self.context, self.aggregate),
            }),
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name)
            .field("context", &self.context)
            .field("aggregate", &self.aggregate)
            .field("handlers", &self.handlers.keys())
            .finish()
    }
}

// === impl HandlerError ===

impl HandlerError {
    /// Creates a failure that may pass.
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Transient(source.into())
    }

    /// Creates a failure that will not pass.
    pub fn poison(reason: impl Into<String>) -> Self {
        Self::Poison {
            reason: reason.into(),
        }
    }

    /// Returns the error with its causes, for the operator.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = StdError::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl From<sqlx::Error> for HandlerError {
    /// A final error is poison, see [`store::is_final`].
    fn from(error: sqlx::Error) -> Self {
        match store::is_final(&error) {
            true => Self::poison(error.to_string()),
            false => Self::transient(error),
        }
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Key { .. } | Error::TooLarge { .. } => Self::poison(error.to_string()),
            Error::Database(error) => error.into(),
            other => Self::transient(other),
        }
    }
}

/// Makes the server cancel statements of this transaction a tenth before `limit`: a statement that
/// only the client abandons would delay the rollback. Returns when the server was started.
pub(crate) async fn limit_statements(
    tx: &mut PgConnection,
    limit: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    // 0 means no limit.
    let millis = (limit - limit / 10).as_millis().max(1);
    let set = sqlx::query!(
        r#"SELECT set_config('statement_timeout', $1, true) AS statement,
                  set_config('idle_in_transaction_session_timeout', $2, true) AS idle,
                  pg_postmaster_start_time() AS "started!""#,
        millis.to_string(),
        limit.as_millis().to_string()
    )
    .fetch_one(tx)
    .await?;
    Ok(set.started)
}

async fn contained<P>(
    tx: &mut PgConnection,
    call: &Call<P>,
    payload: P,
) -> Result<(), HandlerError> {
    let called = async { call(tx, payload).await };
    let result = AssertUnwindSafe(called).catch_unwind().await;
    result.unwrap_or_else(|_panic| Err(HandlerError::transient("the handler panicked")))
}

fn decode<E: Event>(payload: Bytes) -> Result<E, HandlerError> {
    E::decode(payload)
        .map_err(|error| HandlerError::poison(format!("the payload is not a {}: {error}", E::TYPE)))
}

/// Tells the compiler that the future borrows from the connection, which it does not infer for a
/// closure.
fn higher_ranked<P, F>(f: F) -> F
where
    F: for<'a> Fn(&'a mut PgConnection, P) -> BoxFuture<'a, Result<(), HandlerError>>,
{
    f
}
