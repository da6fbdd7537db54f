//! Delivery: one call for many records or for one, as raw frames; what is refused for good is found
//! record by record.

mod verdict;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use rpc::backoff::Backoff;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::source::{Message, Origin, Source};

pub(crate) use verdict::{Reason, Verdict};

/// Pauses between attempts while the service is away or busy: without limit, as the reading waits.
const BACKOFF: Backoff = Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(10));

/// Attempts of a call whose error may be the record's or the service's.
const ATTEMPTS: u32 = 3;

/// A way to send one request.
pub(crate) trait Send {
    /// Sends an encoded request.
    async fn send(&self, request: Bytes) -> Result<(), Status>;
}

/// The calls of one source.
#[derive(Debug)]
pub(crate) struct Calls<'a> {
    pub(crate) source: &'a Source,
    pub(crate) timeout: Duration,
}

/// A record that the service refuses for good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its index in the batch.
    pub(crate) index: usize,
    pub(crate) reason: Reason,
}

/// Why a delivery has no outcome.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It was cancelled; some records may be delivered.
    Cancelled,
    /// No record can be delivered as things are, for this reason.
    Fatal(String),
}

/// Makes the requests of a unit, and sends them until each record has an outcome.
pub(crate) struct Delivery<'a, S> {
    pub(crate) source: &'a Source,
    pub(crate) origin: &'a Origin<'a>,
    pub(crate) calls: S,
    pub(crate) cancelled: &'a CancellationToken,
    /// Attempts while the service is away; `None` for no limit.
    pub(crate) patience: Option<u32>,
}

// === impl Calls ===

impl Send for Calls<'_> {
    async fn send(&self, request: Bytes) -> Result<(), Status> {
        let deadline = Instant::now() + self.timeout;
        let call = wire::unary(self.source, request);
        rpc::deadline::scope(deadline, call).await
    }
}

// === impl Delivery ===

impl<S: Send> Delivery<'_, S> {
    /// Delivers records in their order; returns those that are refused for good. `complete` says
    /// that no record of the unit follows.
    ///
    /// # Errors
    /// See [`Halt`].
    pub(crate) async fn deliver(
        &self,
        messages: &[Message],
        complete: bool,
    ) -> Result<Vec<Refused>, Halt> {
        let all: Vec<usize> = (0..messages.len()).collect();
        let mut refused = Vec::new();
        let mut pending: Vec<Vec<usize>> = match self.source.is_batched() {
            true => vec![all],
            // The last one is taken first.
            false => all.into_iter().rev().map(|index| vec![index]).collect(),
        };
        pending.retain(|group| !group.is_empty());
        let mut is_complete = !complete;
        while let Some(group) = pending.pop() {
            let ends = complete && pending.is_empty();
            let chosen: Vec<&Message> = group.iter().filter_map(|at| messages.get(*at)).collect();
            let verdict = self.send(&chosen, ends).await?;
            let status = match verdict {
                Verdict::Accepted => {
                    is_complete |= ends;
                    continue;
                }
                Verdict::Refused(status) => status,
                Verdict::Misconfigured(status) => return Err(Halt::Fatal(shown(&status))),
                Verdict::Transient(status) => return Err(Halt::Fatal(shown(&status))),
            };
            self.split(group, &status, &mut pending, &mut refused);
        }
        if !is_complete && self.source.tells_end() {
            // The service counts on the end of the unit, whose last records are in quarantine.
            if let Verdict::Refused(status) | Verdict::Misconfigured(status) =
                self.send(&[], true).await?
            {
                return Err(Halt::Fatal(format!(
                    "the end of the unit: {}",
                    shown(&status)
                )));
            }
        }
        refused.sort_by_key(|refused| refused.index);
        Ok(refused)
    }

    /// Finds the records of a refused call: those that the status names, else by halves.
    fn split(
        &self,
        group: Vec<usize>,
        status: &Status,
        pending: &mut Vec<Vec<usize>>,
        refused: &mut Vec<Refused>,
    ) {
        if let [index] = group[..] {
            let reason = Reason::of(status, self.source.batch_field());
            refused.push(Refused { index, reason });
            return;
        }
        let named = Reason::by_row(status, self.source.batch_field(), group.len());
        if named.is_empty() {
            let (left, right) = group.split_at(group.len() / 2);
            pending.push(right.to_vec());
            pending.push(left.to_vec());
            return;
        }
        let mut rest = Vec::with_capacity(group.len());
        for (at, index) in group.into_iter().enumerate() {
            match named.get(&at) {
                Some(reason) => refused.push(Refused {
                    index,
                    reason: reason.clone(),
                }),
                None => rest.push(index),
            }
        }
        if !rest.is_empty() {
            pending.push(rest);
        }
    }

    /// Sends one request until it has a verdict; waits while the service is away or busy.
    async fn send(&self, messages: &[&Message], ends: bool) -> Result<Verdict, Halt> {
        let request = self.source.request(self.origin, messages, ends);
        let request = request.map_err(|unmapped| Halt::Fatal(unmapped.to_string()))?;
        let (mut failures, mut broken) = (0, 0);
        loop {
            let sent = tokio::select! {
                () = self.cancelled.cancelled() => return Err(Halt::Cancelled),
                sent = self.calls.send(request.clone()) => sent,
            };
            let status = match sent {
                Ok(()) => return Ok(Verdict::Accepted),
                Err(status) => status,
            };
            failures += 1;
            match Verdict::of(status) {
                Verdict::Transient(status) if Verdict::is_broken(&status) => {
                    broken += 1;
                    if broken >= ATTEMPTS {
                        return Ok(Verdict::Refused(status));
                    }
                }
                Verdict::Transient(status) => {
                    if self.patience.is_some_and(|most| failures >= most) {
                        return Ok(Verdict::Transient(status));
                    }
                    tracing::debug!(%status, failures, "target not available, trying again");
                }
                verdict => return Ok(verdict),
            }
            let pause = sleep(BACKOFF.pause(failures));
            tokio::select! {
                () = self.cancelled.cancelled() => return Err(Halt::Cancelled),
                () = pause => {}
            }
        }
    }
}

fn shown(status: &Status) -> String {
    let code = rpc::error::code_name(status.code());
    format!("{code}: {}", status.message())
}
