//! A consumer: the facts that it reads, and a handler for each type.

pub(crate) mod inbox;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::Event;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::error::Error;

type Handler = dyn for<'a> Fn(&'a mut PgConnection, Bytes) -> BoxFuture<'a, Result<(), HandlerError>>
    + Send
    + Sync;

/// Reads the facts of one kind of aggregate, in order per key, each applied exactly once in this
/// process's database.
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
    handlers: HashMap<&'static str, Arc<Handler>>,
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

    /// Calls `handler` for each fact of type `E`, in the transaction that also records it as
    /// applied.
    ///
    /// Effects outside of that transaction may happen more than once. A malformed payload is
    /// poison.
    #[must_use]
    pub fn on<E: Event>(
        mut self,
        handler: impl for<'a> Fn(&'a mut PgConnection, E) -> BoxFuture<'a, Result<(), HandlerError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        if (E::CONTEXT, E::AGGREGATE) != (self.context.as_str(), self.aggregate.as_str()) {
            self.stray = Some(E::TYPE);
        }
        let decoding = higher_ranked(move |tx, payload| match E::decode(payload) {
            Ok(fact) => handler(tx, fact),
            Err(error) => Box::pin(future::ready(Err(HandlerError::poison(format!(
                "the payload is not a {}: {error}",
                E::TYPE
            ))))),
        });
        self.handlers.insert(E::TYPE, Arc::new(decoding));
        self
    }

    /// Calls the handler of `kind`, if there is one. Contains panics, and ends after `limit`.
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
            handler(tx, payload).await
        };
        match timeout(limit, AssertUnwindSafe(handled).catch_unwind()).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(HandlerError::transient("the handler panicked")),
            Err(elapsed) => Err(HandlerError::transient(elapsed)),
        }
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
    pub(crate) fn chain(&self) -> String {
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
    fn from(error: sqlx::Error) -> Self {
        Self::transient(error)
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Key { .. } | Error::TooLarge { .. } => Self::poison(error.to_string()),
            other => Self::transient(other),
        }
    }
}

/// Makes the server cancel statements of this transaction a tenth before `limit`: a statement that
/// only the client abandons would delay the rollback.
async fn limit_statements(tx: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    // 0 means no limit.
    let millis = (limit - limit / 10).as_millis().max(1);
    sqlx::query!(
        "SELECT set_config('statement_timeout', $1, true) AS statement,
                set_config('idle_in_transaction_session_timeout', $2, true) AS idle",
        millis.to_string(),
        limit.as_millis().to_string()
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Tells the compiler that the future borrows from the connection, which it does not infer for a
/// closure.
fn higher_ranked<F>(f: F) -> F
where
    F: for<'a> Fn(&'a mut PgConnection, Bytes) -> BoxFuture<'a, Result<(), HandlerError>>,
{
    f
}
