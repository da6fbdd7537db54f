//! Applies the facts of many keys in one transaction; savepoints find those that fail.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use facts::envelope::Fact;
use futures::future::BoxFuture;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::consumer::inbox::{self, Mark, Position, Step};
use crate::consumer::{HandlerError, limit_statements};
use crate::parking;

use super::calls::calls;
use super::settle::Settler;

/// How long the rollback of a failed handler may take, after the server has cancelled its
/// statement.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The facts of one key that are due, by version.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) key: String,
    pub(super) facts: Vec<Arc<Fact>>,
}

/// How far a batch came with one run.
#[derive(Debug)]
pub(super) struct Progress {
    /// Facts from the first on that are applied or parked, now or before.
    pub(super) settled: usize,
    pub(super) next: Next,
}

/// The state of the first fact of a run that is not settled.
#[derive(Debug)]
pub(super) enum Next {
    /// There is none.
    End,
    /// The version after `after`, which was at `sequence`, is missing.
    Gap { after: i64, sequence: u64 },
    /// Its handler failed.
    Failed(HandlerError),
    /// The batch failed, and none of its facts can be blamed for it: each key is tried alone.
    Alone,
}

/// Why a transaction was rolled back.
enum Failure {
    /// Database or stream did not answer: not a fault of the facts.
    Outage(Box<dyn StdError + Send + Sync>),
    /// A handler failed.
    Handler(HandlerError),
    /// The commit, a statement of this crate or the time limit failed.
    Batch(HandlerError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Without savepoints; any failure rolls all facts back.
    Together,
    /// Halves the facts until those that fail are found, and keeps the others.
    Apart,
}

/// The part of a transaction that concerns one run.
struct Plan<'r> {
    run: &'r Run,
    start: Position,
    /// The watermark is written already.
    is_begun: bool,
    due: Vec<&'r Fact>,
    parked: Vec<&'r Fact>,
    progress: Progress,
}

/// Facts of one key to apply in order, and what came of them.
struct Part<'f> {
    due: &'f [&'f Fact],
    applied: usize,
    failed: Option<HandlerError>,
}

// === impl Settler ===

impl Settler {
    /// Applies `runs`, all of them or those that can be, and returns the progress of each.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn apply(
        &self,
        runs: &[Run],
    ) -> Result<Vec<Progress>, Box<dyn StdError + Send + Sync>> {
        let is_single = matches!(runs, [run] if run.facts.len() == 1);
        let mut failure = match self.transact(runs, Mode::Together).await {
            Ok(progress) => return Ok(progress),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Handler(_)) && !is_single {
            failure = match self.transact(runs, Mode::Apart).await {
                Ok(progress) => return Ok(progress),
                Err(failure) => failure,
            };
        }
        let next = |error: HandlerError| match is_single {
            true => Next::Failed(error),
            false => {
                tracing::warn!(
                    consumer = self.consumer.name,
                    keys = runs.len(),
                    error = &error as &dyn StdError,
                    "batch failed, trying its keys one by one"
                );
                Next::Alone
            }
        };
        match failure {
            Failure::Outage(error) => Err(error),
            Failure::Handler(error) | Failure::Batch(error) => {
                let first = Progress {
                    settled: 0,
                    next: next(error),
                };
                let others = runs.iter().skip(1).map(|_| Progress {
                    settled: 0,
                    next: Next::Alone,
                });
                Ok(std::iter::once(first).chain(others).collect())
            }
        }
    }

    async fn transact(&self, runs: &[Run], mode: Mode) -> Result<Vec<Progress>, Failure> {
        let name = &self.consumer.name;
        chassis::crash::point("events.consumer.before_begin");
        let mut tx = self.pool.begin().await?;
        let mut plans = self.plan(&mut tx, runs).await?;
        if plans.iter().all(Plan::is_idle) {
            return Ok(plans.into_iter().map(|plan| plan.progress).collect());
        }
        let limit = self.settings.handler_timeout();
        let handled = timeout(limit, self.handle(&mut tx, &mut plans, mode)).await;
        let handled =
            handled.unwrap_or_else(|elapsed| Err(Failure::Batch(HandlerError::transient(elapsed))));
        if let Err(failure) = handled {
            // If the rollback fails too, the connection failed and not the handler. A statement
            // that began just before the timeout is cancelled within `limit`.
            timeout(limit + ROLLBACK_TIMEOUT, tx.rollback()).await??;
            return Err(failure);
        }
        for fact in plans.iter().flat_map(|plan| &plan.parked) {
            parking::append(&mut tx, &self.consumer, fact, None, 0).await?;
        }
        let last = plans.iter().rev().find_map(Plan::mark);
        let marks: Vec<Mark> = plans.iter().filter_map(Plan::mark_left).collect();
        if !marks.is_empty() && inbox::advance(&mut tx, name, &marks).await? != marks.len() {
            return Err(Failure::Outage("a key has moved".into()));
        }
        chassis::crash::point("events.consumer.before_commit");
        tx.commit().await?;
        self.memory.committed(last.as_ref());
        chassis::crash::point("events.consumer.after_commit");
        Ok(plans.into_iter().map(|plan| plan.progress).collect())
    }

    /// Locks the keys of `runs` and decides by their positions.
    async fn plan<'r>(
        &self,
        tx: &mut PgConnection,
        runs: &'r [Run],
    ) -> Result<Vec<Plan<'r>>, sqlx::Error> {
        let name = &self.consumer.name;
        let new = |run| Plan::new(run, Position::default());
        let marks: Vec<Mark> = runs
            .iter()
            .map(new)
            .filter_map(|plan| plan.mark())
            .collect();
        let begun = match marks.is_empty() {
            true => HashSet::new(),
            false => inbox::begin(tx, name, &marks).await?,
        };
        let known = runs.iter().filter(|run| !begun.contains(&run.key));
        let known: Vec<String> = known.map(|run| run.key.clone()).collect();
        let positions = match known.is_empty() {
            true => HashMap::new(),
            false => inbox::lock(tx, name, &known).await?,
        };
        let plan = |run: &'r Run| Plan {
            is_begun: begun.contains(&run.key),
            ..Plan::new(run, positions.get(&run.key).copied().unwrap_or_default())
        };
        Ok(runs.iter().map(plan).collect())
    }

    async fn handle(
        &self,
        tx: &mut PgConnection,
        plans: &mut [Plan<'_>],
        mode: Mode,
    ) -> Result<(), Failure> {
        let started = limit_statements(tx, self.settings.handler_timeout()).await?;
        if !self.memory.check(tx, &self.consumer.name, started).await? {
            return Err(Failure::Outage("the database went back in time".into()));
        }
        let mut parts: Vec<Part<'_>> = plans.iter().map(|plan| Part::new(&plan.due)).collect();
        match mode {
            Mode::Together => self.call(tx, &parts).await.map_err(Failure::Handler),
            Mode::Apart => {
                self.apart(tx, &mut parts).await?;
                let ends: Vec<_> = parts.into_iter().map(Part::end).collect();
                for (plan, (applied, failed)) in plans.iter_mut().zip(ends) {
                    if let Some(error) = failed {
                        plan.stop(applied, error);
                    }
                }
                Ok(())
            }
        }
    }

    /// Applies `parts`; those that fail are rolled back to a savepoint, halved and tried again.
    fn apart<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        parts: &'a mut [Part<'_>],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let mut savepoint = tx.begin().await?;
            let error = match self.call(&mut savepoint, parts).await {
                Ok(()) => {
                    savepoint.commit().await?;
                    parts
                        .iter_mut()
                        .for_each(|part| part.applied = part.due.len());
                    return Ok(());
                }
                Err(error) => error,
            };
            savepoint.rollback().await?;
            match parts {
                [part] if part.due.len() <= 1 => part.failed = Some(error),
                [part] => {
                    for half in part.halves() {
                        let mut half = Part::new(half);
                        self.apart(tx, std::slice::from_mut(&mut half)).await?;
                        part.applied += half.applied;
                        part.failed = half.failed;
                        if part.failed.is_some() {
                            break;
                        }
                    }
                }
                parts => {
                    let (left, right) = parts.split_at_mut(parts.len() / 2);
                    self.apart(tx, left).await?;
                    self.apart(tx, right).await?;
                }
            }
            Ok(())
        })
    }

    async fn call(&self, tx: &mut PgConnection, parts: &[Part<'_>]) -> Result<(), HandlerError> {
        for (kind, facts) in calls(parts.iter().map(|part| part.due)) {
            self.consumer.apply_all(tx, kind, &facts).await?;
        }
        Ok(())
    }
}

// === impl Failure ===

impl From<sqlx::Error> for Failure {
    /// An error of the statement, or its timeout, may repeat for ever: it spends the budget. An
    /// outage of the server is not a fault of the facts.
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some() && !store::is_outage(&error) {
            Self::Batch(HandlerError::transient(error))
        } else {
            Self::Outage(error.into())
        }
    }
}

impl From<tokio::time::error::Elapsed> for Failure {
    fn from(error: tokio::time::error::Elapsed) -> Self {
        Self::Outage(error.into())
    }
}

// === impl Plan ===

impl<'r> Plan<'r> {
    fn new(run: &'r Run, start: Position) -> Self {
        let mut plan = Self {
            run,
            start,
            is_begun: false,
            due: Vec::new(),
            parked: Vec::new(),
            progress: Progress {
                settled: 0,
                next: Next::End,
            },
        };
        let mut position = start;
        for fact in &run.facts {
            match position.step(fact.version) {
                Step::Repeat => {}
                Step::Apply => {
                    position.version = fact.version;
                    position.sequence = fact.sequence;
                    plan.due.push(fact);
                }
                Step::Park => {
                    position.parked = position.parked.max(Some(fact.version));
                    position.sequence = position.sequence.max(fact.sequence);
                    plan.parked.push(fact);
                }
                Step::Gap(after) => {
                    let sequence = position.sequence;
                    plan.progress.next = Next::Gap { after, sequence };
                    break;
                }
            }
            plan.progress.settled += 1;
        }
        plan
    }

    /// Returns whether there is nothing to write.
    fn is_idle(&self) -> bool {
        self.due.is_empty() && self.parked.is_empty()
    }

    /// Returns the watermark after all due facts, if there are any.
    fn mark(&self) -> Option<Mark> {
        self.due.last().map(|fact| self.mark_at(Some(fact)))
    }

    /// Returns the watermark that is still to be written.
    fn mark_left(&self) -> Option<Mark> {
        match self.progress.next {
            Next::Failed(_) if self.is_begun || !self.due.is_empty() => {
                Some(self.mark_at(self.due.last().copied()))
            }
            _ if self.is_begun => None,
            _ => self.mark(),
        }
    }

    fn mark_at(&self, last: Option<&Fact>) -> Mark {
        let start = (self.start.version, self.start.sequence);
        let (version, sequence) = last.map_or(start, |fact| (fact.version, fact.sequence));
        Mark {
            key: self.run.key.clone(),
            version,
            sequence,
        }
    }

    /// Keeps the first `applied` of the due facts: the next one failed.
    fn stop(&mut self, applied: usize, error: HandlerError) {
        let failed = self.due.get(applied).copied();
        let place = |fact: &Arc<Fact>| failed.is_some_and(|failed| std::ptr::eq(&**fact, failed));
        if let Some(place) = self.run.facts.iter().position(place) {
            self.progress.settled = place;
        }
        self.progress.next = Next::Failed(error);
        self.due.truncate(applied);
    }
}

// === impl Part ===

impl<'f> Part<'f> {
    fn new(due: &'f [&'f Fact]) -> Self {
        Self {
            due,
            applied: 0,
            failed: None,
        }
    }

    fn halves(&self) -> [&'f [&'f Fact]; 2] {
        let (first, second) = self.due.split_at(self.due.len() / 2);
        [first, second]
    }

    fn end(self) -> (usize, Option<HandlerError>) {
        (self.applied, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::envelope::testing::fact;

    fn run(versions: impl IntoIterator<Item = i64>) -> Run {
        let facts = versions.into_iter().map(|version| fact("a", version, "A"));
        Run {
            key: "a".into(),
            facts: facts.map(Arc::new).collect(),
        }
    }

    fn due(plan: &Plan<'_>) -> Vec<i64> {
        plan.due.iter().map(|fact| fact.version).collect()
    }

    #[test]
    fn runs_are_applied_up_to_a_gap() {
        let run = run([1, 2, 3, 5, 6]);
        let position = Position {
            version: 1,
            ..Position::default()
        };
        let plan = Plan::new(&run, position);
        assert_eq!((due(&plan), plan.progress.settled), (vec![2, 3], 3));
        assert!(matches!(plan.progress.next, Next::Gap { after: 3, .. }));
        assert_eq!(plan.mark().map(|mark| mark.version), Some(3));
    }

    #[test]
    fn facts_of_a_parked_key_are_parked() {
        let run = run([3, 4, 6]);
        let position = Position {
            version: 1,
            parked: Some(2),
            ..Position::default()
        };
        let plan = Plan::new(&run, position);
        assert_eq!((due(&plan), plan.parked.len()), (vec![], 2));
        assert!(matches!(plan.progress.next, Next::Gap { after: 4, .. }));
        assert_eq!(plan.mark_left(), None);
    }

    #[test]
    fn a_failure_stops_its_run_at_the_fact_that_failed() {
        let run = run([1, 1, 2, 3]);
        let mut plan = Plan::new(&run, Position::default());
        plan.is_begun = true;
        assert_eq!((due(&plan), plan.progress.settled), (vec![1, 2, 3], 4));
        assert_eq!(plan.mark_left(), None);
        plan.stop(1, HandlerError::poison("no"));
        assert_eq!((due(&plan), plan.progress.settled), (vec![1], 2));
        assert_eq!(plan.mark_left().map(|mark| mark.version), Some(1));
        plan.stop(0, HandlerError::poison("no"));
        assert_eq!(plan.mark_left().map(|mark| mark.version), Some(0));
    }
}
